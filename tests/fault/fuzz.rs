//! Random requests against every route: nothing panics, nothing answers 500, every refusal has an `errcode`.
//!
//! Runs for ten seconds; `PLAYHOUSE_TEST_FUZZ_SECONDS` makes it longer, `PLAYHOUSE_TEST_FUZZ_SEED` repeats a run.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{
    Client, TestServer,
    client::{Answer, encode},
    wish,
};

/// Method and path template of every route; `src/edge` compares it with what is mounted.
const ROUTES: &str = include_str!("routes.txt");

/// A server on a slow machine is busy for less.
const BUSY_AT_MOST: Duration = Duration::from_secs(120);

/// Names that requests are made of.
const NAMES: &[&str] = &[
    "user_id",
    "room_id",
    "reason",
    "type",
    "state_key",
    "content",
    "membership",
    "password",
    "auth",
    "session",
    "identifier",
    "user",
    "device_id",
    "devices",
    "displayname",
    "avatar_url",
    "filter",
    "limit",
    "types",
    "senders",
    "rooms",
    "timeline",
    "state",
    "not_types",
    "lazy_load_members",
    "messages",
    "one_time_keys",
    "device_keys",
    "keys",
    "signatures",
    "algorithms",
    "fallback_keys",
    "m.read",
    "m.fully_read",
    "event_id",
    "thread_id",
    "typing",
    "timeout",
    "presence",
    "status_msg",
    "visibility",
    "preset",
    "invite",
    "initial_state",
    "creation_content",
    "room_version",
    "power_level_content_override",
    "users",
    "users_default",
    "events",
    "ban",
    "name",
    "topic",
    "room_alias_name",
    "new_version",
    "additional_creators",
    "order",
    "msgtype",
    "body",
    "join_rule",
    "allow",
    "history_visibility",
    "via",
    "refresh_token",
    "username",
    "kind",
    "new_password",
    "erase",
    "nonce",
    "mac",
    "admin",
    "m.relates_to",
    "redacts",
    "alias",
    "alt_aliases",
    "event_fields",
    "account_data",
    "unread_thread_notifications",
    "is_direct",
    "token",
];

/// Query parameters that requests are made of.
const PARAMETERS: &[&str] = &[
    "from",
    "to",
    "dir",
    "limit",
    "filter",
    "since",
    "full_state",
    "set_presence",
    "use_state_after",
    "at",
    "membership",
    "not_membership",
    "format",
    "server_name",
    "via",
    "username",
    "token",
    "width",
    "height",
    "method",
    "animated",
    "timeout_ms",
    "allow_remote",
    "access_token",
    "ts",
    "kind",
    "filename",
    "user_id",
];

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "",
    "b",
    "f",
    "join",
    "leave",
    "invite",
    "ban",
    "knock",
    "public",
    "private",
    "online",
    "m.room.message",
    "m.room.member",
    "m.room.power_levels",
    "m.room.create",
    "m.login.password",
    "m.login.dummy",
    "m.id.user",
    "scale",
    "crop",
    "1",
    "0",
    "-1",
    "12",
    "11",
    "6",
    "1.5",
    "99999999999999999999",
    "true",
    "null",
    "t0",
    "t5",
    "s1",
    "{}",
    "{\"limit\":0}",
    "{\"room\":{\"timeline\":{\"limit\":1}}}",
    "\u{0}",
    "\u{202e}x",
    "é",
    "*",
    "../..",
    "%",
    "%00",
    "a/b",
    "main",
    "m.tag",
    "m.direct",
    "world_readable",
    "public_chat",
    "restricted",
    "knock_restricted",
];

/// A small generator; its seed is printed when something fails.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &'a [&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }
}

/// Identifiers that exist, so that requests get past the first check.
struct Known {
    texts: Vec<String>,
}

impl Known {
    fn text(&self, dice: &mut Dice) -> String {
        match dice.roll(4) {
            0 | 1 => self.texts[dice.roll(self.texts.len())].clone(),
            2 => dice.pick(WORDS).to_owned(),
            _ => "x".repeat(1 << dice.roll(12)),
        }
    }

    fn value(&self, dice: &mut Dice, depth: usize) -> Value {
        match dice.roll(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => json!(dice.roll(2) == 0),
            2 => json!([0i64, -1, 1, 50, 100, i64::MAX, i64::MIN, 1 << 53][dice.roll(8)]),
            3 => json!([0.5, -1e300, 1e-7][dice.roll(3)]),
            4 => json!(self.text(dice)),
            5 => (0..dice.roll(4))
                .map(|_| self.value(dice, depth - 1))
                .collect(),
            _ => self.object(dice, depth - 1),
        }
    }

    fn object(&self, dice: &mut Dice, depth: usize) -> Value {
        let mut object = Map::new();
        for _ in 0..dice.roll(6) {
            let name = if dice.roll(5) == 0 {
                self.text(dice)
            } else {
                dice.pick(NAMES).to_owned()
            };
            object.insert(name, self.value(dice, depth));
        }
        Value::Object(object)
    }

    fn body(&self, dice: &mut Dice) -> Vec<u8> {
        match dice.roll(12) {
            0 => Vec::new(),
            1 => vec![0xff, 0xfe, b'{', b'}'],
            2 => "[".repeat(10_000).into_bytes(),
            3 => {
                let mut whole = self.object(dice, 3).to_string().into_bytes();
                whole.truncate(dice.roll(whole.len() + 1));
                whole
            }
            4 => self.value(dice, 2).to_string().into_bytes(),
            _ => self.object(dice, 4).to_string().into_bytes(),
        }
    }

    fn path(&self, dice: &mut Dice, template: &str) -> String {
        let segments = template.split('/').map(|segment| {
            if segment.starts_with('{') {
                encode(&self.text(dice))
            } else {
                segment.to_owned()
            }
        });
        let mut path = segments.collect::<Vec<_>>().join("/");
        let mut separator = '?';
        if template.ends_with("/events") {
            // Unlike `/sync`, it waits half a minute unless it is told otherwise.
            path.push_str("?timeout=0");
            separator = '&';
        }
        for _ in 0..dice.roll(4) {
            path.push(separator);
            path.push_str(dice.pick(PARAMETERS));
            path.push('=');
            path.push_str(&encode(&self.text(dice)));
            separator = '&';
        }
        path
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_random_breaks_it() {
    let seconds = wish("PLAYHOUSE_TEST_FUZZ_SECONDS").unwrap_or(10);
    let seed = wish("PLAYHOUSE_TEST_FUZZ_SEED")
        .unwrap_or_else(|| uuid::Uuid::now_v7().as_u128() as u64 | 1);
    println!("seed {seed}");
    let server = TestServer::start().await;
    let mut client = server.register("fuzz").await;
    let known = known(&server, &client).await;
    let routes: Vec<(Method, &str)> = ROUTES.lines().filter_map(route).collect();
    let mut dice = Dice(seed);
    let (mut requests, started) = (0u64, Instant::now());
    while started.elapsed() < Duration::from_secs(seconds) {
        // Every route gets its turn; what is sent to it is random.
        let (method, template) = &routes[requests as usize % routes.len()];
        let path = known.path(&mut dice, template);
        let body = known.body(&mut dice);
        let text = String::from_utf8_lossy(&body).into_owned();
        let case = format!("seed {seed}, request {requests}: {method} {path} {text:.2000}");
        let answer = answered(&client, (method, &path), &body, &case).await;
        judge(answer.status, &answer.body, &case);
        if answer.status == 401 && requests % 50 == 0 {
            client = client.login_again().await;
        }
        requests += 1;
    }
    client
        .login_again()
        .await
        .get("/_matrix/client/v3/sync?timeout=0")
        .await
        .ok();
    println!(
        "{requests} random requests to {} routes in {seconds} s",
        routes.len()
    );
}

/// What a request is answered in the end: who is busy may say so, but not for ever.
async fn answered(
    client: &Client,
    (method, path): (&Method, &str),
    body: &[u8],
    case: &str,
) -> Answer {
    let deadline = Instant::now() + BUSY_AT_MOST;
    loop {
        let answer = client.raw(method.clone(), path, body.to_vec()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {case}"));
        if answer.status != 503 || Instant::now() >= deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn judge(status: u16, body: &Value, case: &str) {
    let awaited = status == 504 && body["errcode"] == "M_NOT_YET_UPLOADED";
    // Another server that was named at random is not there.
    let nobody = status == 502 && body["errcode"].is_string();
    assert!(status < 500 || awaited || nobody, "{status} {body}: {case}");
    // Pages, and answers in the words of OAuth.
    let in_other_words = [
        " /oauth2/",
        " /_synapse/client/",
        " /_matrix/consent",
        " /_matrix/static/",
        "/login/sso/",
        "/login/cas/",
        "/account_validity/renew",
        "/pushers/remove",
        "/fallback/web",
        "/submit_token",
    ]
    .iter()
    .any(|area| case.contains(area));
    let asks_for_authentication = status == 401 && body["flows"].is_array();
    assert!(
        status < 400 || asks_for_authentication || in_other_words || body["errcode"].is_string(),
        "{status} without errcode: {case}"
    );
}

async fn known(server: &TestServer, client: &Client) -> Known {
    let other = server.register("other").await;
    let mut texts = vec![
        client.user_id.clone(),
        other.user_id.clone(),
        client.device_id.clone(),
    ];
    for preset in ["public_chat", "private_chat"] {
        let room_id = client
            .create_room(json!({"preset": preset, "room_alias_name": preset}))
            .await;
        texts.push(client.say(&room_id, "here").await);
        texts.push(room_id);
        texts.push(format!("#{preset}:playhouse.test"));
    }
    let theirs = other.create_room(json!({"preset": "private_chat"})).await;
    texts.push(other.say(&theirs, "not for you").await);
    texts.push(theirs);
    texts.push("playhouse.test".to_owned());
    let since = client.sync(None, "").await;
    texts.extend(since["next_batch"].as_str().map(ToOwned::to_owned));
    Known { texts }
}

fn route(line: &str) -> Option<(Method, &str)> {
    let (method, path) = line.split_once(' ')?;
    Some((method.parse().ok()?, path))
}

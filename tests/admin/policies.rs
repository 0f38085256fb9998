//! Moderation policies: tried, applied, taken back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{
        props::{room_path, text},
        stage::on_own_servers,
    },
    harness::{
        Client, Options, Peers, TestServer,
        client::{Answer, encode},
        made::{now_ms, sealed},
        peer::ask_as,
        wish,
    },
};

const POLICIES: &str = "/_playhouse/admin/v1/policies";
const AUDIT: &str = "/_playhouse/admin/v1/audit";
const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// What was done is told in less.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who waits is told in less: before the wait for news would be over by itself.
const PROMPTLY: Duration = Duration::from_secs(100);

/// So many requests are under way at once.
const AT_ONCE: usize = 16;

/// A wave is gone in no more.
const SOON: Duration = Duration::from_secs(5);

pub(super) fn of_policy(name: &str, rest: &str) -> String {
    format!("{POLICIES}/{name}{rest}")
}

pub(super) async fn dry_run(boss: &Client, name: &str) -> Value {
    boss.get(&of_policy(name, "/dry_run")).await.ok()
}

pub(super) async fn apply(boss: &Client, name: &str, body: Value) -> Answer {
    boss.post(&of_policy(name, "/apply"), body).await
}

pub(super) async fn newest_change(boss: &Client) -> Value {
    boss.get(&format!("{AUDIT}?limit=1")).await.ok()["changes"][0].clone()
}

pub(super) async fn undo(boss: &Client, change: &Value) -> Answer {
    boss.post(&format!("{AUDIT}/{}/undo", change["id"]), json!({}))
        .await
}

/// The first sync after a token that says what it should.
pub(super) async fn synced(
    client: &Client,
    since: Option<&str>,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.sync(since, "").await;
        if fits(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{}: {answer}", client.user_id);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The rooms under a heading of a sync.
pub(super) fn under(synced: &Value, heading: &str) -> Vec<String> {
    let rooms = synced["rooms"][heading].as_object();
    let mut rooms: Vec<_> = rooms
        .into_iter()
        .flat_map(|rooms| rooms.keys().cloned())
        .collect();
    rooms.sort();
    rooms
}

pub(super) fn sorted(rooms: &[String]) -> Vec<String> {
    let mut rooms = rooms.to_vec();
    rooms.sort();
    rooms
}

/// All that a user is told of rooms, once so many invites are.
async fn told(client: &Client, invites: usize) -> Value {
    let answer = synced(client, None, |it| under(it, "invite").len() == invites);
    answer.await["rooms"].clone()
}

pub(super) async fn invite_to(host: &Client, name: &str, guest: &Client) -> String {
    let body = json!({"name": name, "invite": [guest.user_id]});
    host.create_room(body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_are_taken_away_and_come_back() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert, spam] = [
            server.register("anna").await,
            server.register("bert").await,
            server.register("spammer").await,
        ];
        let friends = invite_to(&bert, "Friends", &anna).await;
        let mut casinos = Vec::new();
        for name in ["Casino 1", "Casino 2", "Casino 3"] {
            casinos.push(invite_to(&spam, name, &anna).await);
        }
        let before = synced(&anna, None, |it| under(it, "invite").len() == 4).await;
        let since = text(&before["next_batch"]);

        let rule = json!({"inviter": "@spam*", "room_name": "casino*", "age_max_ms": 86_400_000});
        boss.put(&of_policy("casino", ""), rule).await.ok();
        let shown = dry_run(&boss, "casino").await;
        assert_eq!((&shown["invites"], &shown["users"]), (&json!(3), &json!(1)));
        assert_eq!(
            shown["by_server"],
            json!([{"name": "playhouse.test", "count": 3}])
        );
        assert_eq!(shown["by_user"][0]["name"], json!(anna.user_id));
        assert_eq!(shown["sample"].as_array().map(Vec::len), Some(3));
        // Who only looks changes nothing.
        assert_eq!(newest_change(&boss).await["kind"], "policy");
        let late = invite_to(&spam, "Casino 4", &anna).await;
        synced(&anna, Some(&since), |it| {
            under(it, "invite") == [late.clone()]
        })
        .await;
        let applied = apply(&boss, "casino", json!({"token": shown["token"]})).await;
        let applied = applied.ok();
        assert_eq!(
            (&applied["invites"], &applied["later"]),
            (&json!(3), &json!(1))
        );
        // Who was told of them is told that they are gone; who syncs anew, nothing.
        let is_gone = |it: &Value| under(it, "leave") == sorted(&casinos);
        let gone = synced(&anna, Some(&since), is_gone).await;
        let between = text(&gone["next_batch"]);
        let left = told(&anna, 2).await;
        assert!(left["invite"][&friends].is_object() && left["invite"][&late].is_object());
        assert!(left["leave"][&casinos[0]].is_null(), "{left}");

        let change = newest_change(&boss).await;
        assert_eq!(
            (&change["kind"], &change["can_be_undone"]),
            (&json!("policy_run"), &json!(true))
        );
        assert_eq!(change["after"]["invites"], 3);
        server.restart();
        let [boss, anna] = [&boss, &anna].map(|client| client.at(server.base()));
        undo(&boss, &change).await.ok();
        undo(&boss, &change).await.refused(400, "M_INVALID_PARAM");
        let is_back = |it: &Value| under(it, "invite") == sorted(&casinos);
        synced(&anna, Some(&between), is_back).await;
        let mut after = told(&anna, 4 + 1).await;
        after["invite"]
            .as_object_mut()
            .expect("invites")
            .remove(&late);
        assert_eq!(after["invite"], before["rooms"]["invite"]);
        let listed = boss.get(POLICIES).await.ok();
        assert_eq!(listed["policies"][0]["rule"]["inviter"], "@spam*");
        assert_eq!(listed["runs"][0]["undone_by"], json!(boss.user_id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_shown_is_done() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, spam] = [
            server.register("anna").await,
            server.register("spammer").await,
        ];
        let first = invite_to(&spam, "One", &anna).await;
        let second = invite_to(&spam, "Two", &anna).await;
        told(&anna, 2).await;
        for (name, rule) in [
            ("spam", json!({})),
            ("spam", json!({"inviter": ""})),
            ("a%20b", json!({"inviter": "*"})),
            ("spam", json!({"inviter": "x".repeat(300)})),
            ("spam", json!({"age_min_ms": 2, "age_max_ms": 1})),
        ] {
            let saved = boss.put(&of_policy(name, ""), rule).await;
            saved.refused(400, "M_INVALID_PARAM");
        }
        let path = of_policy("spam", "");
        let misspelt = boss.put(&path, json!({"invitor": "*"})).await;
        assert_eq!(misspelt.status, 400);
        for rest in ["", "/dry_run"] {
            let asked = boss.get(&of_policy("spam", rest)).await;
            asked.refused(404, "M_NOT_FOUND");
        }
        let rule = json!({"inviter": spam.user_id, "user_id": "@a*"});
        boss.put(&of_policy("spam", ""), rule).await.ok();
        let asked = anna.get(&of_policy("spam", "/dry_run")).await;
        asked.refused(403, "M_FORBIDDEN");
        assert_eq!(apply(&boss, "spam", json!({})).await.status, 400);
        let made_up = apply(&boss, "spam", json!({"token": "x"})).await;
        made_up.refused(400, "M_INVALID_PARAM");
        // An invite that was shown is accepted meanwhile.
        let shown = dry_run(&boss, "spam").await;
        anna.join(&first).await;
        let stale = apply(&boss, "spam", json!({"token": shown["token"]})).await;
        stale.refused(409, "M_UNKNOWN");
        // The rule is another one meanwhile.
        let shown = dry_run(&boss, "spam").await;
        assert_eq!(shown["invites"], 1);
        let other = json!({"inviter": spam.user_id});
        boss.put(&of_policy("spam", ""), other).await.ok();
        let stale = apply(&boss, "spam", json!({"token": shown["token"]})).await;
        stale.refused(409, "M_UNKNOWN");
        // For good, if that is wanted.
        let shown = dry_run(&boss, "spam").await;
        let body = json!({"token": shown["token"], "tell_servers": true});
        let applied = apply(&boss, "spam", body).await.ok();
        assert_eq!(
            (&applied["invites"], &applied["failed"]),
            (&json!(1), &json!(0))
        );
        let member = room_path(&second, &format!("state/m.room.member/{}", anna.user_id));
        assert_eq!(spam.get(&member).await.ok()["membership"], "leave");
        let change = newest_change(&boss).await;
        assert_eq!(change["can_be_undone"], false);
        undo(&boss, &change).await.refused(400, "M_INVALID_PARAM");
        boss.delete(&of_policy("spam", "")).await.ok();
        let gone = boss.get(&of_policy("spam", "/dry_run")).await;
        gone.refused(404, "M_NOT_FOUND");
        // What it did is still known.
        let known = boss.get(&of_policy("spam", "")).await.ok();
        assert_eq!(known["policy"], Value::Null);
        assert_eq!(known["runs"][0]["tell_servers"], true);
    })
    .await;
}

/// Follows sliding syncs from one on until one says what it should.
async fn slid(client: &Client, pos: Option<String>, fits: impl Fn(&Value) -> bool) -> Value {
    let list = json!({"ranges": [[0, 9]], "timeline_limit": 1, "required_state": []});
    let body = json!({"lists": {"all": list}});
    let follow = async {
        let mut pos = pos;
        loop {
            let after = pos.map(|pos| format!("&pos={}", encode(&pos)));
            let path = format!("{SLIDING}?timeout=110000{}", after.unwrap_or_default());
            let answer = client.post(&path, body.clone()).await.ok();
            if fits(&answer) {
                return answer;
            }
            pos = Some(text(&answer["pos"]));
        }
    };
    let told = tokio::time::timeout(PROMPTLY, follow).await;
    told.expect("it is told in time")
}

/// The same with other syncs.
async fn followed(client: &Client, since: String, fits: impl Fn(&Value) -> bool) -> Value {
    let follow = async {
        let mut since = since;
        loop {
            let answer = client.sync(Some(&since), "timeout=110000").await;
            if fits(&answer) {
                return answer;
            }
            since = text(&answer["next_batch"]);
        }
    };
    let told = tokio::time::timeout(PROMPTLY, follow).await;
    told.expect("it is told in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_wait_are_told() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, spam] = [
            server.register("anna").await,
            server.register("spammer").await,
        ];
        let room_id = invite_to(&spam, "Casino", &anna).await;
        let rule = json!({"inviter": spam.user_id});
        boss.put(&of_policy("spam", ""), rule).await.ok();
        let is_invite = |it: &Value| it["rooms"][&room_id]["invite_state"].is_array();
        let is_end = |it: &Value| {
            let state = &it["rooms"][&room_id]["required_state"];
            state[0]["content"]["membership"] == "leave"
        };
        let is_under = |it: &Value, heading: &str| under(it, heading) == [room_id.clone()];
        let first = synced(&anna, None, |it| is_under(it, "invite")).await;
        let begun = slid(&anna, None, is_invite).await;
        let shown = dry_run(&boss, "spam").await;
        let (ended, gone, applied) = tokio::join!(
            slid(&anna, Some(text(&begun["pos"])), is_end),
            followed(&anna, text(&first["next_batch"]), |it| is_under(
                it, "leave"
            )),
            apply(&boss, "spam", json!({"token": shown["token"]})),
        );
        assert_eq!(applied.ok()["invites"], 1);
        assert_eq!(ended["lists"]["all"]["count"], 0, "{ended}");
        let change = newest_change(&boss).await;
        let (back, _, undone) = tokio::join!(
            slid(&anna, Some(text(&ended["pos"])), is_invite),
            followed(&anna, text(&gone["next_batch"]), |it| is_under(
                it, "invite"
            )),
            undo(&boss, &change),
        );
        undone.ok();
        assert_eq!(back["lists"]["all"]["count"], 1, "{back}");
    })
    .await;
}

/// How much spam there is.
struct Wave {
    invites: usize,
    servers: Vec<String>,
    users: Vec<Client>,
}

impl Wave {
    /// One invite of the wave: to a room of its own.
    async fn invite(&self, number: usize) {
        let server = &self.servers[number % self.servers.len()];
        let user = &self.users[number / self.servers.len() % self.users.len()];
        let (room_id, sender) = (
            format!("!r{number}:{server}"),
            format!("@spammer{number}:{server}"),
        );
        // Events of a room that nobody here has seen.
        let before = [format!("${number:043}")];
        let event = json!({
            "type": "m.room.member", "state_key": user.user_id, "sender": sender, "room_id": room_id,
            "content": {"membership": "invite"}, "prev_events": before, "auth_events": before, "depth": 7,
            "origin_server_ts": now_ms(),
        });
        let event = sealed(server, event);
        let name = json!({
            "type": "m.room.name", "state_key": "", "sender": sender, "content": {"name": format!("Casino {number}")},
        });
        let body = json!({"room_version": "11", "event": event.json, "invite_room_state": [name]});
        let (room, event_id) = (encode(&room_id), encode(&event.id));
        let path = format!("/_matrix/federation/v2/invite/{room}/{event_id}");
        let body = body.to_string();
        let asked = ask_as(server, user, (Method::PUT, &path), Some(&body));
        asked.await.ok();
    }

    async fn break_over(&self) {
        let numbers: Vec<_> = (0..self.invites).collect();
        for some in numbers.chunks(AT_ONCE) {
            join_all(some.iter().map(|number| self.invite(*number))).await;
        }
    }

    /// So many invites has each user in the end.
    fn expected(&self) -> Vec<usize> {
        let mut expected = vec![0; self.users.len()];
        for number in 0..self.invites {
            expected[number / self.servers.len() % self.users.len()] += 1;
        }
        expected
    }

    /// How long it took until they were removed, until the last user was told so, and until they were brought back.
    #[expect(clippy::print_stdout, reason = "how long it takes is the result")]
    fn tell(&self, [removed, told, brought_back]: [Duration; 3]) {
        let (servers, users) = (self.servers.len(), self.users.len());
        println!(
            "{} invites from {servers} servers removed from {users} users in {removed:?}, brought back in {brought_back:?}",
            self.invites
        );
        println!(
            "all users had asked and were told of none {told:?} after the request to remove them"
        );
    }

    /// What each user is told of rooms.
    async fn state(&self, expected: &[usize]) -> BTreeMap<String, Value> {
        let mut state = BTreeMap::new();
        for (user, invites) in self.users.iter().zip(expected) {
            state.insert(user.user_id.clone(), told(user, *invites).await);
        }
        state
    }
}

async fn registered(server: &TestServer, count: usize) -> Vec<Client> {
    let mut users = Vec::with_capacity(count);
    for number in 0..count {
        users.push(server.register(&format!("u{number}")).await);
    }
    users
}

/// The line: `PLAYHOUSE_TEST_SPAM_INVITES=10000 PLAYHOUSE_TEST_SPAM_SERVERS=50 PLAYHOUSE_TEST_SPAM_USERS=100`.
/// Where a number of invites is wished it is judged, too, how long it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_wave_of_spam_is_gone_and_nothing_else() {
    let wished = |name: &str, usual: usize| {
        let name = format!("PLAYHOUSE_TEST_SPAM_{name}");
        wish(&name).unwrap_or(usual).max(1)
    };
    let servers = (0..wished("SERVERS", 5)).map(|number| format!("spam{number}.test"));
    let servers: Vec<String> = servers.collect();
    let names: Vec<&str> = servers.iter().map(String::as_str).collect();
    let peers = Peers::start(&names).await;
    let mut server = TestServer::start_with(Options {
        environment: peers.environment(),
        ..Options::default()
    })
    .await;
    let boss = administrator(&server.client(), "boss").await;
    let mut wave = Wave {
        invites: wished("INVITES", 300),
        users: registered(&server, wished("USERS", 10)).await,
        servers,
    };
    let kept = invite_to(&boss, "Friends", &wave.users[0]).await;
    wave.break_over().await;
    let mut expected = wave.expected();
    expected[0] += 1;
    let before = wave.state(&expected).await;
    let rule = json!({"inviter_server": "spam*.test", "inviter": "@spammer*"});
    boss.put(&of_policy("wave", ""), rule).await.ok();
    let shown = dry_run(&boss, "wave").await;
    assert_eq!(shown["invites"], json!(wave.invites));
    let users = wave.expected().iter().filter(|count| **count > 0).count();
    assert_eq!(shown["users"], json!(users));

    let begun = Instant::now();
    let applied = apply(&boss, "wave", json!({"token": shown["token"]})).await;
    let took = begun.elapsed();
    assert_eq!(applied.ok()["invites"], json!(wave.invites));
    let mut nothing = vec![0; wave.users.len()];
    nothing[0] = 1;
    let gone = wave.state(&nothing).await;
    let all_told = begun.elapsed();
    let spared = &gone[&wave.users[0].user_id];
    assert!(spared["invite"][&kept].is_object(), "{spared}");
    assert_eq!(dry_run(&boss, "wave").await["invites"], 0);
    let change = newest_change(&boss).await;

    server.restart();
    let boss = boss.at(server.base());
    for user in &mut wave.users {
        *user = user.at(server.base());
    }
    assert_eq!(wave.state(&nothing).await, gone);
    let begun = Instant::now();
    undo(&boss, &change).await.ok();
    wave.tell([took, all_told, begun.elapsed()]);
    let is_wished = wish::<usize>("PLAYHOUSE_TEST_SPAM_INVITES").is_some();
    assert!(!is_wished || took <= SOON, "it took {took:?}");
    assert_eq!(wave.state(&expected).await, before);
    let again = dry_run(&boss, "wave").await;
    for same in ["invites", "users", "state_hash", "by_server", "by_user"] {
        assert_eq!(again[same], shown[same], "{same}");
    }
    println!(
        "state of {} users by the dry run: before {}, after the undo {}",
        shown["users"], shown["state_hash"], again["state_hash"]
    );
}

//! Pushers of users: what gateways are sent, when, and how often.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    admin::administrator,
    client::stage::{fresh, on_own_servers},
    harness::{
        Client, PushGateway, TestServer,
        client::encode,
        gateway::{Arrived, Manner},
    },
};

const SET: &str = "/_matrix/client/v3/pushers/set";

fn pusher(gateway: &PushGateway, pushkey: &str, data: Value) -> Value {
    let mut pusher = json!({
        "app_id": "org.example.app", "pushkey": pushkey, "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
        "profile_tag": "x", "lang": "en", "data": data
    });
    pusher["data"]["url"] = json!(gateway.url());
    pusher
}

/// Anna has a pusher, and is in a room with Bert.
pub(super) struct Pair {
    pub(super) anna: Client,
    pub(super) bert: Client,
    pub(super) room_id: String,
    pub(super) key: String,
}

pub(super) async fn pair(server: &TestServer, gateway: &PushGateway, data: Value) -> Pair {
    let anna = server.register(&fresh("anna")).await;
    let bert = server.register(&fresh("bert")).await;
    let name = format!(
        "/_matrix/client/v3/profile/{}/displayname",
        encode(&bert.user_id)
    );
    bert.put(&name, json!({"displayname": "Bert"})).await.ok();
    let room_id = anna
        .create_room(json!({"preset": "public_chat", "name": "Kitchen"}))
        .await;
    bert.join(&room_id).await;
    let key = fresh("key");
    anna.post(SET, pusher(gateway, &key, data)).await.ok();
    Pair {
        anna,
        bert,
        room_id,
        key,
    }
}

impl Pair {
    pub(super) fn at(self, server: &TestServer) -> Self {
        Self {
            anna: self.anna.at(server.base()),
            bert: self.bert.at(server.base()),
            ..self
        }
    }

    async fn another_room(&self) -> String {
        let room_id = self
            .anna
            .create_room(json!({"preset": "public_chat"}))
            .await;
        self.bert.join(&room_id).await;
        room_id
    }

    pub(super) async fn send(&self, event_type: &str, content: Value) -> String {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/{event_type}/{}",
            encode(&self.room_id),
            fresh("t")
        );
        let answer = self.bert.put(&path, content).await.ok();
        answer["event_id"].as_str().expect("an event ID").to_owned()
    }

    pub(super) async fn read(&self, room_id: &str, event_id: &str) {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/receipt/m.read/{}",
            encode(room_id),
            encode(event_id)
        );
        self.anna.post(&path, json!({})).await.ok();
    }
}

pub(super) async fn on_servers(play: impl AsyncFn(&mut TestServer, &PushGateway)) {
    on_own_servers(&PushGateway::ENVIRONMENT, async |server| {
        let gateway = PushGateway::start().await;
        play(server, &gateway).await;
    })
    .await;
}

/// How often an event was pushed.
fn times(arrived: &[Arrived], event_id: &str) -> usize {
    let of_event = arrived.iter().filter(|one| one.taken);
    of_event
        .filter(|one| one.event_id() == Some(event_id))
        .count()
}

/// What an administrator sees of a user's pushers.
pub(super) async fn shown(admin: &Client, user_id: &str) -> Value {
    let path = format!("/_synapse/admin/v1/users/{}/pushers", encode(user_id));
    admin.get(&path).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_told_everything_or_the_event_alone() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({"own": {"a": 1}})).await;
        let short = fresh("short");
        let data = json!({"format": "event_id_only"});
        pair.anna.post(SET, pusher(gateway, &short, data)).await.ok();
        let quiet = fresh("quiet");
        let data =
            json!({"format": "event_id_only", "org.matrix.msc4076.disable_badge_count": true});
        pair.anna
            .post(SET, pusher(gateway, &quiet, data))
            .await
            .ok();
        let event_id = pair.bert.say(&pair.room_id, "hello").await;
        let uncounted = gateway.pushed(&quiet, &event_id).await;
        assert!(uncounted["counts"].is_null(), "{uncounted}");

        let mut full = gateway.pushed(&pair.key, &event_id).await;
        let since = full["devices"][0]["pushkey_ts"].take();
        assert!(since.as_u64().is_some_and(|since| since > 1_600_000_000), "{since}");
        let expected = json!({
            "id": event_id, "event_id": event_id, "room_id": pair.room_id, "type": "m.room.message", "sender": pair.bert.user_id,
            "sender_display_name": "Bert", "room_name": "Kitchen", "prio": "high", "content": {"msgtype": "m.text", "body": "hello"},
            "counts": {"unread": 1},
            "devices": [{
                "app_id": "org.example.app", "pushkey": pair.key, "pushkey_ts": null, "data": {"own": {"a": 1}},
                "tweaks": {"sound": "default"}
            }]
        });
        full["devices"][0]["tweaks"].as_object_mut().expect("tweaks").remove("highlight");
        assert_eq!(full, expected);

        let mut alone = gateway.pushed(&short, &event_id).await;
        alone["devices"][0]["pushkey_ts"].take();
        let expected = json!({
            "event_id": event_id, "room_id": pair.room_id, "prio": "high", "counts": {"unread": 1},
            "devices": [{
                "app_id": "org.example.app", "pushkey": short, "pushkey_ts": null, "data": {"format": "event_id_only"}
            }]
        });
        assert_eq!(alone, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_notifies_is_pushed() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let own = pair.anna.say(&pair.room_id, "my own words").await;
        let notice = json!({"msgtype": "m.notice", "body": "beep"});
        let muted = pair.send("m.room.message", notice).await;
        let last = pair.bert.say(&pair.room_id, "hello").await;
        gateway.pushed(&pair.key, &last).await;
        let arrived = gateway.taken(&pair.key);
        assert_eq!(times(&arrived, &own) + times(&arrived, &muted), 0);
        assert_eq!(times(&arrived, &last), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_fall_as_rooms_are_read() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let other = pair.another_room().await;
        let first = pair.bert.say(&pair.room_id, "one").await;
        gateway.pushed(&pair.key, &first).await;
        let again = pair.bert.say(&pair.room_id, "one more").await;
        let second = pair.bert.say(&other, "two").await;
        gateway.pushed(&pair.key, &again).await;
        gateway.pushed(&pair.key, &second).await;
        // Two rooms, not three messages.
        gateway.counts(&pair.key, 2).await;
        pair.read(&other, &second).await;
        let arrived = gateway.counts(&pair.key, 1).await;
        let last = arrived.last().expect("it was waited for");
        assert_eq!(last.event_id(), None);
        pair.read(&pair.room_id, &again).await;
        gateway.counts(&pair.key, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_fall_as_rooms_are_muted() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let other = pair.another_room().await;
        let first = pair.bert.say(&pair.room_id, "one").await;
        gateway.pushed(&pair.key, &first).await;
        let second = pair.bert.say(&other, "two").await;
        let told = gateway.pushed(&pair.key, &second).await;
        assert_eq!(told["counts"]["unread"], 2, "{told}");
        let rule = format!(
            "/_matrix/client/v3/pushrules/global/room/{}",
            encode(&other)
        );
        pair.anna.put(&rule, json!({"actions": []})).await.ok();
        // At once, and with the next message: the other room is quiet.
        gateway.counts(&pair.key, 1).await;
        let third = pair.bert.say(&pair.room_id, "three").await;
        let told = gateway.pushed(&pair.key, &third).await;
        assert_eq!(told["counts"]["unread"], 1, "{told}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_of_the_ignored_are_not_counted() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let carl = server.register(&fresh("carl")).await;
        let ignored = format!(
            "/_matrix/client/v3/user/{}/account_data/m.ignored_user_list",
            encode(&pair.anna.user_id)
        );
        let list = json!({"ignored_users": {carl.user_id.clone(): {}}});
        pair.anna.put(&ignored, list).await.ok();
        let invite = json!({"preset": "private_chat", "invite": [pair.anna.user_id]});
        carl.create_room(invite).await;
        let first = pair.bert.say(&pair.room_id, "one").await;
        let told = gateway.pushed(&pair.key, &first).await;
        assert_eq!(told["counts"]["unread"], 1, "{told}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_invites_are_not_counted() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let admin = administrator(&pair.anna, &fresh("admin")).await;
        let carl = server.register(&fresh("carl")).await;
        let invite = json!({"preset": "private_chat", "invite": [pair.anna.user_id]});
        carl.create_room(invite).await;
        gateway.counts(&pair.key, 1).await;
        let policy = format!("/_playhouse/admin/v1/policies/{}", fresh("spam"));
        let rule = json!({"inviter": carl.user_id});
        admin.put(&policy, rule).await.ok();
        let shown = admin.get(&format!("{policy}/dry_run")).await.ok();
        let body = json!({"token": shown["token"]});
        admin.post(&format!("{policy}/apply"), body).await.ok();
        // At once, and with the next message.
        gateway.counts(&pair.key, 0).await;
        let first = pair.bert.say(&pair.room_id, "one").await;
        let told = gateway.pushed(&pair.key, &first).await;
        assert_eq!(told["counts"]["unread"], 1, "{told}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_calls_and_secrets_are_pushed() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let invite = json!({"preset": "private_chat", "name": "Attic", "invite": [pair.anna.user_id]});
        let attic = pair.bert.create_room(invite).await;
        let arrived = gateway.counts(&pair.key, 1).await;
        let told = &arrived.last().expect("it was waited for").notification;
        for (name, value) in [
            ("type", json!("m.room.member")), ("membership", json!("invite")), ("user_is_target", json!(true)),
            ("room_id", json!(attic)), ("room_name", json!("Attic")), ("sender", json!(pair.bert.user_id)),
        ] {
            assert_eq!(told[name], value, "{name}: {told}");
        }
        pair.anna.join(&attic).await;
        gateway.counts(&pair.key, 0).await;

        let secret = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"});
        let secret = pair.send("m.room.encrypted", secret).await;
        let told = gateway.pushed(&pair.key, &secret).await;
        assert_eq!((&told["prio"], &told["type"]), (&json!("high"), &json!("m.room.encrypted")));

        let offer = json!({"call_id": "c", "version": 0, "lifetime": 60_000, "offer": {"type": "offer", "sdp": "x"}});
        let call = pair.send("m.call.invite", offer).await;
        let told = gateway.pushed(&pair.key, &call).await;
        assert_eq!(told["counts"]["missed_calls"], 1, "{told}");
        assert_eq!(told["devices"][0]["tweaks"]["sound"], "ring");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_ends_its_pusher() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let admin = administrator(&pair.anna, &fresh("admin")).await;
        let other = fresh("other");
        pair.anna
            .post(SET, pusher(gateway, &other, json!({})))
            .await
            .ok();
        gateway.set(Manner::Rejects(vec![
            pair.key.clone(),
            "strange".to_owned(),
        ]));
        let event_id = pair.bert.say(&pair.room_id, "hello").await;
        gateway.pushed(&pair.key, &event_id).await;
        gateway.pushed(&other, &event_id).await;
        let path = "/_matrix/client/v3/pushers";
        let keys = |answer: &Value| -> Vec<String> {
            let pushers = answer["pushers"].as_array().cloned().unwrap_or_default();
            pushers
                .iter()
                .map(|one| one["pushkey"].as_str().unwrap_or_default().to_owned())
                .collect()
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        while keys(&pair.anna.get(path).await.ok()) != [other.as_str()] {
            assert!(Instant::now() < deadline, "the pusher stays");
        }
        let shown = shown(&admin, &pair.anna.user_id).await;
        assert_eq!(shown["total"], 1, "{shown}");
        assert_eq!(shown["pushers"][0]["failures"], 0, "{shown}");
        let ended = &shown["ended_pushers"][0];
        assert_eq!(ended["pushkey"], json!(pair.key), "{shown}");
        assert!(
            ended["reason"]
                .as_str()
                .is_some_and(|why| why.contains("rejected")),
            "{shown}"
        );
        pair.anna
            .get(&format!(
                "/_synapse/admin/v1/users/{}/pushers",
                encode(&pair.anna.user_id)
            ))
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_missed_comes_after_a_crash() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let other = pair.another_room().await;
        let before = pair.bert.say(&pair.room_id, "before").await;
        gateway.pushed(&pair.key, &before).await;
        gateway.set(Manner::IsDown);
        let mut said = Vec::new();
        for number in 0..8 {
            said.push(pair.bert.say(&pair.room_id, &format!("{number}")).await);
        }
        let elsewhere = pair.bert.say(&other, "there").await;
        // It has failed at least once, and knows it.
        let tried = |all: &[Arrived]| all.iter().any(|one| !one.taken);
        gateway.until(&pair.key, tried).await;
        server.kill();
        server.start_again();
        let pair = pair.at(server);
        gateway.set(Manner::Takes);
        let newest = said.last().expect("something was said");
        gateway.pushed(&pair.key, newest).await;
        gateway.pushed(&pair.key, &elsewhere).await;
        let last = pair.bert.say(&pair.room_id, "after").await;
        gateway.pushed(&pair.key, &last).await;
        let arrived = gateway.taken(&pair.key);
        // Of a backlog each room's newest is told, once; what was told before the crash is not told again.
        for event_id in [&before, newest, &elsewhere, &last] {
            assert_eq!(times(&arrived, event_id), 1, "{event_id}: {arrived:#?}");
        }
        let told = said.iter().filter(|event_id| times(&arrived, event_id) > 0);
        assert!(told.count() < said.len(), "{arrived:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_repeats_nothing_that_was_taken() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let admin = administrator(&pair.anna, &fresh("admin")).await;
        let other = pair.another_room().await;
        let first = pair.bert.say(&pair.room_id, "one").await;
        gateway.pushed(&pair.key, &first).await;
        let second = pair.bert.say(&other, "two").await;
        gateway.pushed(&pair.key, &second).await;
        // That it was taken is kept a moment later: before that nobody can tell.
        let deadline = Instant::now() + Duration::from_secs(120);
        while shown(&admin, &pair.anna.user_id).await["pushers"][0]["unread"] != 2 {
            assert!(Instant::now() < deadline, "nothing is kept");
        }
        server.kill();
        server.start_again();
        let pair = pair.at(server);
        let last = pair.bert.say(&pair.room_id, "after").await;
        gateway.pushed(&pair.key, &last).await;
        let arrived = gateway.taken(&pair.key);
        for event_id in [&first, &second, &last] {
            assert_eq!(times(&arrived, event_id), 1, "{arrived:#?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_places_are_not_asked() {
    let environment = [
        ("PLAYHOUSE_PUSH_PLAIN_GATEWAYS", "true"),
        ("PLAYHOUSE_PUSH_RETRY_WAIT_MS", "100"),
    ];
    on_own_servers(&environment, async |server| {
        let gateway = PushGateway::start().await;
        let anna = server.register(&fresh("anna")).await;
        let bert = server.register(&fresh("bert")).await;
        let admin = administrator(&anna, &fresh("admin")).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let plain = pusher(&gateway, "a", json!({}));
        anna.post(SET, plain).await.refused(400, "M_INVALID_PARAM");
        // What a name means is known only when it is asked for.
        let mut named = pusher(&gateway, "b", json!({}));
        named["data"]["url"] = json!(format!(
            "http://localhost:{}/_matrix/push/v1/notify",
            gateway.port()
        ));
        anna.post(SET, named).await.ok();
        bert.say(&room_id, "hello").await;
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let shown = shown(&admin, &anna.user_id).await;
            if shown["pushers"][0]["reason"] == "this address is not asked" {
                assert!(shown["pushers"][0]["next_attempt_ts"].is_u64(), "{shown}");
                assert_eq!(shown["pushers"][0]["waiting"], true, "{shown}");
                break;
            }
            assert!(Instant::now() < deadline, "{shown}");
        }
        assert!(gateway.attempts("b").is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_can_be_switched_off() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let other = pair.anna.login_again().await;
        let mut off = pusher(gateway, &pair.key, json!({}));
        off["org.matrix.msc3881.enabled"] = json!(false);
        other.post(SET, off.clone()).await.ok();
        let shown = other.get("/_matrix/client/v3/pushers").await.ok();
        let shown = &shown["pushers"][0];
        assert_eq!(shown["org.matrix.msc3881.enabled"], false, "{shown}");
        // It stays the pusher of the device that has made it.
        assert_eq!(
            shown["org.matrix.msc3881.device_id"],
            json!(pair.anna.device_id),
            "{shown}"
        );
        let loud = fresh("loud");
        pair.anna
            .post(SET, pusher(gateway, &loud, json!({})))
            .await
            .ok();
        let unheard = pair.bert.say(&pair.room_id, "unheard").await;
        gateway.pushed(&loud, &unheard).await;
        assert!(gateway.attempts(&pair.key).is_empty());
        off["org.matrix.msc3881.enabled"] = json!(true);
        other.post(SET, off).await.ok();
        let heard = pair.bert.say(&pair.room_id, "heard").await;
        gateway.pushed(&pair.key, &heard).await;
        assert_eq!(times(&gateway.attempts(&pair.key), &unheard), 0);
    })
    .await;
}

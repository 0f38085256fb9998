//! Our half with the other half of others: our homeserver's pushers in front of Sygnal, Synapse's in front of our gateway. The same story for both.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::super::{
    gateway::NOTIFY,
    provider::{Said, Seen},
};
use super::{Stage, Sygnal, key_of, python};
use crate::{
    client::stage::{fresh, on_own_servers},
    harness::{Client, PushGateway, Synapse, Town, client::encode},
};

/// What happens happens within this time.
const PATIENCE: Duration = Duration::from_secs(60);

const PUSHERS: &str = "/_matrix/client/v3/pushers";

#[tokio::test(flavor = "multi_thread")]
async fn our_pushers_in_front_of_sygnal() {
    let Some(python) = python() else { return };
    let stage = Stage::set().await;
    let providers = [&stage.provider, &stage.sandbox];
    let sygnal = Sygnal::start(&python, providers, &stage.apps()).await;
    on_own_servers(&PushGateway::ENVIRONMENT, async |server| {
        let anna = server.register(&fresh("anna")).await;
        let bert = server.register(&fresh("bert")).await;
        story(&stage, [&anna, &bert], sygnal.base()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn synapses_pushers_in_front_of_our_gateway() {
    let stage = Stage::set().await;
    let gateway = stage.gateway("");
    let town = Town::of_addresses(1);
    let synapse = Synapse::start(&town, &town.names()[0]).await;
    let anna = synapse.register(&fresh("anna")).await;
    let bert = synapse.register(&fresh("bert")).await;
    story(&stage, [&anna, &bert], gateway.client().base()).await;
}

/// One of Anna's devices.
struct Phone {
    app_id: &'static str,
    pushkey: String,
    /// By this the provider knows it.
    key: String,
    data: Value,
}

fn phones(stage: &Stage) -> [Phone; 4] {
    let phone = |app_id, (pushkey, key): (String, String), data| Phone {
        app_id,
        pushkey,
        key,
        data,
    };
    let iphone = || {
        let key = fresh("iphone");
        (STANDARD.encode(&key), key)
    };
    let android = fresh("android");
    let web = fresh("web");
    let mut subscription = stage.browser.data(&stage.provider);
    subscription["endpoint"] = json!(format!("{}/push/{web}", stage.provider.url()));
    [
        phone(
            "org.example.ios",
            iphone(),
            json!({ "default_payload": { "cs": "x" } }),
        ),
        phone(
            "org.example.ios.alert",
            iphone(),
            json!({ "format": "event_id_only" }),
        ),
        phone("org.example.android", (android.clone(), android), json!({})),
        phone(
            "org.example.web",
            (stage.browser.pushkey(), web),
            subscription,
        ),
    ]
}

/// What a device has got so far.
fn got(stage: &Stage, phone: &Phone) -> Vec<Value> {
    let told = |seen: &Seen| match phone.app_id {
        "org.example.web" => stage.browser.open(&seen.body),
        "org.example.android" => seen.json()["message"]["data"].take(),
        _ => seen.json(),
    };
    let seen = stage.provider.seen();
    let of_phone = seen.iter().filter(|seen| key_of(seen) == phone.key);
    of_phone.map(told).collect()
}

/// Waits until a device has got what is wanted.
async fn until(stage: &Stage, phone: &Phone, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let got = got(stage, phone);
        if let Some(found) = got.iter().find(|told| is_wanted(told)) {
            return found.clone();
        }
        assert!(Instant::now() < end, "{}: {got:#?}", phone.app_id);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn set(anna: &Client, phone: &Phone, gateway: &str) {
    let mut data = phone.data.clone();
    data["url"] = json!(format!("{gateway}{NOTIFY}"));
    let pusher = json!({
        "app_id": phone.app_id, "pushkey": phone.pushkey, "kind": "http", "app_display_name": "App",
        "device_display_name": "Phone", "lang": "en", "append": true, "data": data,
    });
    anna.post(&format!("{PUSHERS}/set"), pusher).await.ok();
}

/// Bert writes, Anna's devices hear of it; she reads it, and her badge vanishes; one device is given away, and its pusher ends.
async fn story(stage: &Stage, [anna, bert]: [&Client; 2], gateway: &str) {
    let profile = format!(
        "/_matrix/client/v3/profile/{}/displayname",
        encode(&bert.user_id)
    );
    bert.put(&profile, json!({ "displayname": "Bert" }))
        .await
        .ok();
    let room = json!({ "preset": "public_chat", "name": "Kitchen" });
    let room_id = anna.create_room(room).await;
    bert.join(&room_id).await;
    let phones = phones(stage);
    let [full, short, android, web] = &phones;
    for phone in &phones {
        set(anna, phone, gateway).await;
    }

    let event_id = bert.say(&room_id, "hello").await;
    let is_it = |told: &Value| told["event_id"] == json!(event_id);
    let told = until(stage, full, is_it).await;
    let alert = json!({
        "loc-key": "MSG_FROM_USER_IN_ROOM_WITH_CONTENT", "loc-args": ["Bert", "Kitchen", "hello"],
    });
    let wanted = json!({
        "cs": "x", "room_id": room_id, "event_id": event_id, "aps": { "alert": alert, "badge": 1 },
    });
    assert_eq!(told, wanted);
    let wanted = json!({ "room_id": room_id, "event_id": event_id, "unread_count": 1 });
    assert_eq!(until(stage, short, is_it).await, wanted);
    let told = until(stage, android, is_it).await;
    for (field, value) in [
        ("content_body", "hello"),
        ("sender_display_name", "Bert"),
        ("room_name", "Kitchen"),
        ("unread", "1"),
        ("prio", "high"),
    ] {
        assert_eq!(told[field], value, "{told}");
    }
    let told = until(stage, web, is_it).await;
    assert_eq!(told["content"]["body"], "hello", "{told}");
    assert_eq!(told["unread"], 1, "{told}");

    let (room, event) = (encode(&room_id), encode(&event_id));
    let receipt = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{event}");
    anna.post(&receipt, json!({})).await.ok();
    let badge = |told: &Value| *told == json!({ "aps": { "badge": 0 } });
    until(stage, full, badge).await;
    until(stage, short, badge).await;
    until(stage, web, |told| told["unread"] == 0).await;

    let dead = Said::new(410, json!({ "reason": "Unregistered" }));
    stage.will_say([(full.key.clone(), vec![dead])].into_iter());
    let event_id = bert.say(&room_id, "are you there?").await;
    let is_it = |told: &Value| told["event_id"] == json!(event_id);
    until(stage, android, is_it).await;
    until_gone(anna, full).await;
    let left = anna.get(PUSHERS).await.ok();
    assert_eq!(left["pushers"].as_array().map(Vec::len), Some(3), "{left}");
    tell(stage, &phones);
}

/// What each device was asked to show.
#[expect(
    clippy::print_stdout,
    reason = "what arrived belongs into the test's output"
)]
fn tell(stage: &Stage, phones: &[Phone]) {
    for phone in phones {
        let got = got(stage, phone);
        println!("{} got {}:", phone.app_id, got.len());
        for one in got {
            println!("  {one}");
        }
    }
}

/// Waits until a pusher has ended.
async fn until_gone(anna: &Client, phone: &Phone) {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = anna.get(PUSHERS).await.ok();
        let pushers = left["pushers"].as_array().cloned().unwrap_or_default();
        if pushers
            .iter()
            .all(|one| one["pushkey"] != json!(phone.pushkey))
        {
            return;
        }
        assert!(Instant::now() < end, "{left}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

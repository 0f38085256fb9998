//! Mails that tell users what they have not seen.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    admin::administrator,
    client::{
        addresses::{add, prove, with_mail},
        browser::Browser,
        stage::fresh,
    },
    harness::{Client, MailSink, TestServer, client::encode},
};

const SET: &str = "/_matrix/client/v3/pushers/set";

const SOON: [(&str, &str); 2] = [
    ("PLAYHOUSE_PUSH_MAIL_DELAY_MS", "1000"),
    ("PLAYHOUSE_PUSH_MAIL_THROTTLE_MS", "3000"),
];

fn mailbox(address: &str) -> Value {
    json!({
        "app_id": "m.email", "pushkey": address, "kind": "email", "app_display_name": "Mail", "device_display_name": address,
        "lang": "en", "data": {"brand": "Element"}
    })
}

/// Anna, with an address to which she wants mails, and Bert.
struct Pair {
    anna: Client,
    bert: Client,
    address: String,
}

async fn pair(server: &TestServer, sink: &MailSink) -> Pair {
    let anna = server.register(&fresh("anna")).await;
    let bert = server.register(&fresh("bert")).await;
    let address = format!("{}@example.org", fresh("mailed"));
    let creds = prove(&anna, sink, "add", &address).await;
    add(&anna, &creds).await.ok();
    anna.post(SET, mailbox(&address)).await.ok();
    sink.forget();
    Pair {
        anna,
        bert,
        address,
    }
}

async fn room(pair: &Pair, name: &str) -> String {
    let wish = json!({"preset": "public_chat", "name": name});
    let room_id = pair.anna.create_room(wish).await;
    pair.bert.join(&room_id).await;
    room_id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missed_comes_by_mail() {
    with_mail(&SOON, async |server, sink| {
        let pair = pair(server, sink).await;
        let [kitchen, attic] = [room(&pair, "Kitchen").await, room(&pair, "Attic").await];
        pair.bert.say(&kitchen, "the <soup> is ready").await;
        pair.bert.say(&attic, "a ghost").await;
        let secret = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"});
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.encrypted/t1",
            encode(&attic)
        );
        pair.bert.put(&path, secret).await.ok();
        let text = sink.mail(&pair.address, 1).await.text;
        for expected in [
            "Kitchen",
            "Element",
            "the <soup> is ready",
            "the &lt;soup&gt; is ready",
            "https://matrix.to/#/",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("ciphertext"), "{text}");
        // Who follows the link gets no more of them.
        let (_, link) = text.split_once("List-Unsubscribe: <").expect("a link");
        let url: String = link
            .split('>')
            .next()
            .expect("its end")
            .split_whitespace()
            .collect();
        let path = &url[url.find("/_synapse").expect("a path")..];
        let browser = Browser::new(&pair.anna);
        let page = browser.open(path).await;
        assert!(page.html.contains(&pair.address), "{}", page.html);
        browser.submit(&page, &[]).await;
        let left = pair.anna.get("/_matrix/client/v3/pushers").await.ok();
        assert_eq!(left["pushers"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_not_mailed() {
    // A slow server is told in time that it was read.
    let late = [SOON[1], ("PLAYHOUSE_PUSH_MAIL_DELAY_MS", "20000")];
    with_mail(&late, async |server, sink| {
        let pair = pair(server, sink).await;
        let [seen, missed] = [room(&pair, "Seen").await, room(&pair, "Missed").await];
        let event_id = pair.bert.say(&seen, "read at once").await;
        let path = format!(
            "/_matrix/client/v3/rooms/{}/receipt/m.read/{}",
            encode(&seen),
            encode(&event_id)
        );
        pair.anna.post(&path, json!({})).await.ok();
        pair.bert.say(&missed, "not read").await;
        let text = sink.mail(&pair.address, 1).await.text;
        assert!(text.contains("not read"), "{text}");
        assert!(!text.contains("read at once"), "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_mail_waits_even_across_a_crash() {
    with_mail(&SOON, async |server, sink| {
        let pair = pair(server, sink).await;
        let kitchen = room(&pair, "Kitchen").await;
        let admin = administrator(&pair.anna, &fresh("admin")).await;
        pair.bert.say(&kitchen, "first words").await;
        let first = sink.mail(&pair.address, 1).await;
        // That it was taken is kept a moment later: before that nobody can tell.
        let path = format!(
            "/_synapse/admin/v1/users/{}/pushers",
            encode(&pair.anna.user_id)
        );
        let deadline = Instant::now() + Duration::from_secs(120);
        while admin.get(&path).await.ok()["pushers"][0]["last_success_ts"].is_null() {
            assert!(Instant::now() < deadline, "nothing is kept");
        }
        pair.bert.say(&kitchen, "second words").await;
        server.kill();
        server.start_again();
        let second = sink.mail(&pair.address, 2).await;
        let text = &second.text;
        assert!(text.contains("second words"), "{text}");
        assert!(!text.contains("first words"), "{text}");
        // As they came: whoever looks at them may be slow.
        let apart = second.at.duration_since(first.at);
        assert!(apart >= Duration::from_millis(2_000), "{apart:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_mailed() {
    with_mail(&SOON, async |server, sink| {
        let pair = pair(server, sink).await;
        let strange = mailbox("somebody@example.com");
        pair.bert
            .post(SET, strange)
            .await
            .refused(400, "M_THREEPID_NOT_FOUND");
        // An address that is given up is not mailed any more either.
        let gone = json!({"medium": "email", "address": pair.address});
        pair.anna
            .post("/_matrix/client/v3/account/3pid/delete", gone)
            .await
            .ok();
        let left = pair.anna.get("/_matrix/client/v3/pushers").await.ok();
        assert_eq!(left["pushers"], json!([]));
        assert_eq!(sink.count(&pair.address), 0);
    })
    .await;
}

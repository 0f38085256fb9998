//! What happened in a room, and who may see it.

use serde_json::{Value, json};

use super::{
    props::{ids, list, of_type, room_path, said, text, types},
    stage::{fresh, on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

fn visibility(value: &str) -> Value {
    json!({"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": value}})
}

async fn seen_by(client: &Client, room_id: &str) -> Vec<String> {
    let page = client.look(room_id, "messages?dir=b&limit=100").await;
    if page.status == 403 {
        return vec!["forbidden".to_owned()];
    }
    let mut bodies = said(&page.ok()["chunk"]);
    bodies.reverse();
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn each_history_visibility_shows_what_it_should() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let all: &[&str] = &["before", "invited", "joined"];
        let cases: [(&str, &[&str], &[&str]); 5] = [
            (
                "world_readable",
                all,
                &["before", "invited", "joined", "left"],
            ),
            ("shared", all, &["forbidden"]),
            ("invited", &["invited", "joined"], &["forbidden"]),
            ("joined", &["joined"], &["forbidden"]),
            ("org.example.odd", all, &["forbidden"]),
        ];
        for (value, member, stranger) in cases {
            let room_id = anna
                .create_room(
                    json!({"preset": "private_chat", "initial_state": [visibility(value)]}),
                )
                .await;
            let before = anna.say(&room_id, "before").await;
            anna.invite(&room_id, &bert).await;
            anna.say(&room_id, "invited").await;
            bert.join(&room_id).await;
            anna.say(&room_id, "joined").await;
            assert_eq!(seen_by(&bert, &room_id).await, member, "{value}");
            let event = bert
                .look(&room_id, &format!("event/{}", encode(&before)))
                .await;
            let context = bert
                .look(&room_id, &format!("context/{}", encode(&before)))
                .await;
            if member.contains(&"before") {
                event.ok();
                context.ok();
            } else {
                event.refused(404, "M_NOT_FOUND");
                context.refused(404, "M_NOT_FOUND");
            }
            bert.leave(&room_id).await;
            anna.say(&room_id, "left").await;
            // Who has left sees what there was until then, even where strangers see more.
            assert_eq!(seen_by(&bert, &room_id).await, member, "{value}, left");
            assert_eq!(
                seen_by(&carl, &room_id).await,
                stranger,
                "{value}, never in"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_page_in_both_directions() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        for line in 0..23 {
            anna.say(&room_id, &line.to_string()).await;
        }
        let wanted: Vec<_> = (0..23).map(|line: u32| line.to_string()).collect();
        let forwards = Value::Array(anna.history(&room_id).await);
        assert_eq!(said(&forwards), wanted);
        let newest = anna.look(&room_id, "messages?dir=b&limit=1").await.ok();
        let mut back = list(&newest["chunk"]).to_vec();
        back.extend(anna.page_back(&room_id, &text(&newest["end"]), 7).await);
        back.reverse();
        assert_eq!(ids(&Value::Array(back)), ids(&forwards));
        // Where one page ends the other direction begins.
        let page = anna.look(&room_id, "messages?dir=f&limit=10").await.ok();
        let from = encode(&text(&page["end"]));
        let again = anna
            .look(&room_id, &format!("messages?dir=b&limit=10&from={from}"))
            .await
            .ok();
        let mut there = ids(&again["chunk"]);
        there.reverse();
        assert_eq!(there, ids(&page["chunk"]));
        let to = encode(&text(&page["start"]));
        let bounded = format!("messages?dir=b&limit=1000&from={from}&to={to}");
        let bounded = anna.look(&room_id, &bounded).await.ok();
        assert_eq!(list(&bounded["chunk"]).len(), 10);
        assert!(bounded.get("end").is_none(), "{bounded}");
        anna.look(&room_id, "messages?dir=x")
            .await
            .refused(400, "M_INVALID_PARAM");
        anna.look(&room_id, "messages")
            .await
            .refused(400, "M_MISSING_PARAM");
        anna.look(&room_id, "messages?dir=b&from=nonsense")
            .await
            .refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_filtered_and_bring_lazy_members() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        anna.say(&room_id, "from anna").await;
        bert.say(&room_id, "from bert").await;
        let page = async |filter: Value| {
            let rest = format!("messages?dir=b&limit=50&filter={}", encode(&filter.to_string()));
            anna.look(&room_id, &rest).await.ok()
        };
        let by_bert = page(json!({"senders": [bert.user_id], "types": ["m.room.message"]})).await;
        assert_eq!(said(&by_bert["chunk"]), ["from bert"]);
        let states = page(json!({"not_types": ["m.room.message", "m.room.member"]})).await;
        assert!(!types(&states["chunk"]).contains(&"m.room.message".to_owned()));
        let lazy = page(json!({"lazy_load_members": true, "types": ["m.room.message"], "senders": [bert.user_id]})).await;
        assert_eq!(super::props::members(&lazy["state"]), [bert.user_id.as_str()]);
        let bad = format!("messages?dir=b&filter={}", encode("{nonsense"));
        let bad = anna.look(&room_id, &bad).await;
        assert_eq!(bad.status, 400, "{}", bad.body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn context_surrounds_an_event() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({})).await;
        let mut sent = Vec::new();
        for line in 0..9 {
            sent.push(anna.say(&room_id, &line.to_string()).await);
        }
        let rest = format!("context/{}?limit=4", encode(&sent[4]));
        let context = anna.look(&room_id, &rest).await.ok();
        assert_eq!(context["event"]["event_id"], *sent[4]);
        assert_eq!(ids(&context["events_before"]), [sent[3].as_str(), &sent[2]]);
        assert_eq!(ids(&context["events_after"]), [sent[5].as_str(), &sent[6]]);
        assert!(of_type(&context["state"], "m.room.create").is_object());
        let start = encode(&text(&context["start"]));
        let older = anna
            .look(&room_id, &format!("messages?dir=b&limit=1&from={start}"))
            .await
            .ok();
        assert_eq!(ids(&older["chunk"]), [sent[1].as_str()]);
        let end = encode(&text(&context["end"]));
        let newer = anna
            .look(&room_id, &format!("messages?dir=f&limit=1&from={end}"))
            .await
            .ok();
        assert_eq!(ids(&newer["chunk"]), [sent[7].as_str()]);
        let alone = anna
            .look(&room_id, &format!("context/{}?limit=0", encode(&sent[4])))
            .await
            .ok();
        assert_eq!(
            list(&alone["events_before"]).len() + list(&alone["events_after"]).len(),
            0
        );
        anna.look(&room_id, "context/$unknown")
            .await
            .refused(404, "M_NOT_FOUND");
        let stranger = bert.look(&room_id, &rest).await;
        assert!([403, 404].contains(&stranger.status), "{}", stranger.body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_takes_the_content() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let (mine, theirs) = (
            anna.say(&room_id, "mine").await,
            bert.say(&room_id, "theirs").await,
        );
        let path = |event_id: &str, transaction: &str| {
            room_path(
                &room_id,
                &format!("redact/{}/{transaction}", encode(event_id)),
            )
        };
        let reason = json!({"reason": "too much"});
        bert.put(&path(&mine, "a"), reason.clone())
            .await
            .refused(403, "M_FORBIDDEN");
        let own = bert.put(&path(&theirs, "b"), reason).await.ok();
        let event = anna
            .look(&room_id, &format!("event/{}", encode(&theirs)))
            .await
            .ok();
        assert_eq!(event["content"], json!({}));
        let because = &event["unsigned"]["redacted_because"];
        assert_eq!(because["event_id"], own["event_id"]);
        assert_eq!(because["content"]["reason"], "too much");
        // The same transaction on another event is another request.
        let second = bert.say(&room_id, "more").await;
        let other = bert.put(&path(&second, "b"), json!({})).await.ok();
        assert_ne!(other["event_id"], own["event_id"]);
        let event = anna
            .look(&room_id, &format!("event/{}", encode(&second)))
            .await
            .ok();
        assert_eq!(event["content"], json!({}));
        let repeated = bert.put(&path(&second, "b"), json!({})).await.ok();
        assert_eq!(repeated["event_id"], other["event_id"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_carried_out_once() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let phone = anna.login_again().await;
        let room_id = anna.create_room(json!({})).await;
        let path = room_path(&room_id, "send/m.room.message/once");
        let body = json!({"body": "once"});
        let first = anna.put(&path, body.clone()).await.ok();
        let (one, two) = tokio::join!(anna.put(&path, body.clone()), anna.put(&path, body.clone()));
        assert_eq!((one.ok(), two.ok()), (first.clone(), first.clone()));
        assert_ne!(phone.put(&path, body.clone()).await.ok(), first);
        let other = room_path(&room_id, "send/org.example.other/once");
        let other = anna.put(&other, body.clone()).await.ok();
        assert_ne!(other, first);
        server.restart();
        let anna = anna.at(server.base());
        assert_eq!(anna.put(&path, body.clone()).await.ok(), first);
        server.kill();
        server.start_again();
        let anna = anna.at(server.base());
        assert_eq!(anna.put(&path, body).await.ok(), first);
        let history = Value::Array(anna.history(&room_id).await);
        assert_eq!(said(&history), ["once", "once", "once"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_set_and_read() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({})).await;
        let topic = json!({"topic": "Talk"});
        let first = anna.set_state(&room_id, "m.room.topic", "", topic.clone()).await.ok();
        for rest in ["state/m.room.topic", "state/m.room.topic/"] {
            let same = anna.put(&room_path(&room_id, rest), topic.clone()).await.ok();
            assert_eq!(same["event_id"], first["event_id"]);
            assert_eq!(anna.look(&room_id, rest).await.ok(), topic);
        }
        let whole = anna.look(&room_id, "state/m.room.topic/?format=event").await.ok();
        assert_eq!(whole["event_id"], first["event_id"]);
        assert_eq!(whole["content"], topic);
        anna.look(&room_id, "state/m.room.avatar").await.refused(404, "M_NOT_FOUND");
        bert.look(&room_id, "state/m.room.topic").await.refused(403, "M_FORBIDDEN");
        let theirs = anna.set_state(&room_id, "org.example.own", &bert.user_id, json!({})).await;
        theirs.refused(403, "M_FORBIDDEN");
        let own = anna.set_state(&room_id, "org.example.own", &anna.user_id, json!({})).await;
        own.ok();
        let related = json!({"body": "yes", "m.relates_to": {"rel_type": "m.thread", "event_id": first["event_id"]}});
        let reply = anna.send(&room_id, "m.room.message", related.clone()).await;
        let stored = anna.look(&room_id, &format!("event/{}", encode(&reply))).await.ok();
        assert_eq!(stored["content"], related);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_limits() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let send = async |body: &str| {
            let path = room_path(&room_id, &format!("send/m.room.message/{}", fresh("t")));
            anna.raw(reqwest::Method::PUT, &path, body.as_bytes().to_vec())
                .await
                .expect("an answer")
        };
        let of_length = |length: usize| format!("{{\"body\":\"{}\"}}", "x".repeat(length));
        send(&of_length(64_000)).await.ok();
        send(&of_length(65_536)).await.refused(413, "M_TOO_LARGE");
        send("{\"number\":1.5}").await.refused(400, "M_BAD_JSON");
        send("{\"number\":9007199254740992}")
            .await
            .refused(400, "M_BAD_JSON");
        send("{\"number\":9007199254740991}").await.ok();
        send("[1]").await.refused(400, "M_BAD_JSON");
        send("nonsense").await.refused(400, "M_NOT_JSON");
        send("").await.refused(400, "M_NOT_JSON");
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        send(&deep(50)).await.ok();
        assert_eq!(send(&deep(2_000)).await.status, 400);
        let long = "x".repeat(256);
        let path = room_path(&room_id, &format!("send/{long}/{}", fresh("t")));
        let refused = anna.put(&path, json!({})).await;
        assert!([400, 413].contains(&refused.status), "{}", refused.body);
        let refused = anna
            .set_state(&room_id, "org.example", &long, json!({}))
            .await;
        assert!([400, 413].contains(&refused.status), "{}", refused.body);
        anna.say(&room_id, "still here").await;
    })
    .await;
}

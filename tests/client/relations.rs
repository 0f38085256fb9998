//! Events that relate to others: lists of them, what is bundled with an event, threads.

use serde_json::{Value, json};

use super::{
    props::{filter as filtered, ids, list, room_path, text, user_path},
    stage::on_each_engine,
};
use crate::harness::{Client, client::encode};

/// Enough to push everything before out of what a room has at hand.
const MANY: usize = 70;

async fn send(user: &Client, room_id: &str, content: Value) -> String {
    let answer = send_typed(user, room_id, "m.room.message", content).await;
    text(&answer["event_id"])
}

async fn send_typed(user: &Client, room_id: &str, event_type: &str, content: Value) -> Value {
    let transaction = super::stage::fresh("relation");
    let path = room_path(room_id, &format!("send/{event_type}/{transaction}"));
    user.put(&path, content).await.ok()
}

fn related(rel_type: &str, parent: &str, body: &str) -> Value {
    json!({"msgtype": "m.text", "body": body, "m.relates_to": {"rel_type": rel_type, "event_id": parent}})
}

fn edit(parent: &str, body: &str) -> Value {
    let mut content = related("m.replace", parent, body);
    content["m.new_content"] = json!({"msgtype": "m.text", "body": body});
    content
}

async fn relations(user: &Client, room_id: &str, rest: &str) -> Value {
    let path = format!(
        "/_matrix/client/v1/rooms/{}/relations/{rest}",
        encode(room_id)
    );
    user.get(&path).await.ok()
}

async fn threads(user: &Client, room_id: &str, query: &str) -> Value {
    let path = format!(
        "/_matrix/client/v1/rooms/{}/threads{query}",
        encode(room_id)
    );
    user.get(&path).await.ok()
}

async fn bundle(user: &Client, room_id: &str, event_id: &str) -> Value {
    let path = format!("event/{}", encode(event_id));
    let event = user.look(room_id, &path).await.ok();
    event["unsigned"]["m.relations"].clone()
}

async fn redact(user: &Client, room_id: &str, event_id: &str) {
    let transaction = super::stage::fresh("redaction");
    let path = format!("redact/{}/{transaction}", encode(event_id));
    user.put(&room_path(room_id, &path), json!({})).await.ok();
}

async fn fill(user: &Client, room_id: &str, count: usize) {
    for number in 0..count {
        user.say(room_id, &format!("filler {number}")).await;
    }
}

async fn ignore(user: &Client, whom: &Client) {
    let path = user_path(&user.user_id, "account_data/m.ignored_user_list");
    let content = json!({"ignored_users": {&whom.user_id: {}}});
    user.put(&path, content).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn related_events_are_listed_page_by_page() {
    on_each_engine(async |stage| {
        for filler in [0, MANY] {
            let anna = stage.user("anna").await;
            let room_id = anna.create_room(json!({})).await;
            let parent = anna.say(&room_id, "parent").await;
            let mut children = Vec::new();
            for number in 0..5 {
                let content = related("m.reference", &parent, &number.to_string());
                children.push(send(&anna, &room_id, content).await);
            }
            fill(&anna, &room_id, filler).await;
            let last = send(&anna, &room_id, related("m.thread", &parent, "t")).await;
            children.push(last.clone());
            let all = relations(&anna, &room_id, &encode(&parent)).await;
            let mut backwards = children.clone();
            backwards.reverse();
            assert_eq!(ids(&all["chunk"]), backwards);
            assert!(all.get("next_batch").is_none());
            for (dir, wanted) in [("b", &backwards), ("f", &children)] {
                let mut seen = Vec::new();
                let mut from = String::new();
                loop {
                    let rest = format!("{}?limit=2&dir={dir}{from}", encode(&parent));
                    let page = relations(&anna, &room_id, &rest).await;
                    assert!(list(&page["chunk"]).len() <= 2);
                    seen.extend(ids(&page["chunk"]));
                    let Some(next) = page["next_batch"].as_str() else {
                        break;
                    };
                    from = format!("&from={next}");
                }
                assert_eq!(&seen, wanted, "{dir}");
            }
            let of_kind = |rest: &str| format!("{}/{rest}", encode(&parent));
            let found = relations(&anna, &room_id, &of_kind("m.thread")).await;
            assert_eq!(ids(&found["chunk"]), [last.as_str()]);
            let found = relations(&anna, &room_id, &of_kind("m.reference/m.sticker")).await;
            assert_eq!(ids(&found["chunk"]), [""; 0]);
            redact(&anna, &room_id, &children[0]).await;
            let found = relations(&anna, &room_id, &of_kind("m.reference/m.room.message")).await;
            assert_eq!(ids(&found["chunk"]), backwards[1..5]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indirect_relations_are_found_on_request() {
    on_each_engine(async |stage| {
        for filler in [0, MANY] {
            let [anna, bert] = stage.users(["anna", "bert"]).await;
            let room_id = anna.create_room(json!({})).await;
            let parent = anna.say(&room_id, "parent").await;
            let reply = send(&anna, &room_id, related("m.thread", &parent, "reply")).await;
            fill(&anna, &room_id, filler).await;
            let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": reply, "key": "x"}});
            let answer = send_typed(&anna, &room_id, "m.reaction", reaction).await;
            let reaction = text(&answer["event_id"]);
            let rest = format!("{}?recurse=true", encode(&parent));
            let found = relations(&anna, &room_id, &rest).await;
            assert_eq!(ids(&found["chunk"]), [reaction.as_str(), reply.as_str()]);
            assert_eq!(found["recursion_depth"], 3);
            let rest = format!("{}/m.annotation?recurse=true", encode(&parent));
            let found = relations(&anna, &room_id, &rest).await;
            assert_eq!(ids(&found["chunk"]), [reaction.as_str()]);
            let path = format!("/_matrix/client/v1/rooms/{}/relations/", encode(&room_id));
            bert.get(&format!("{path}{}", encode(&parent))).await.refused(403, "M_FORBIDDEN");
            anna.get(&format!("{path}$nothing")).await.refused(404, "M_NOT_FOUND");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_edit_comes_with_the_event() {
    on_each_engine(async |stage| {
        for filler in [0, MANY] {
            let [anna, bert] = stage.users(["anna", "bert"]).await;
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            let parent = anna.say(&room_id, "first").await;
            let second = send(&anna, &room_id, edit(&parent, "second")).await;
            fill(&anna, &room_id, filler).await;
            let third = send(&anna, &room_id, edit(&parent, "third")).await;
            send(&bert, &room_id, edit(&parent, "not bert's")).await;
            send(
                &anna,
                &room_id,
                related("m.replace", &parent, "nothing new"),
            )
            .await;
            let told = bundle(&bert, &room_id, &parent).await;
            assert_eq!(told["m.replace"]["event_id"], third, "{told}");
            assert_eq!(
                told["m.replace"]["content"]["m.new_content"]["body"],
                "third"
            );
            let context = format!("context/{}", encode(&parent));
            let context = bert.look(&room_id, &context).await.ok();
            let told = &context["event"]["unsigned"]["m.relations"];
            assert_eq!(told["m.replace"]["event_id"], third);
            let history = bert.history(&room_id).await;
            let event = history.iter().find(|event| event["event_id"] == parent);
            let told = &event.expect("the event")["unsigned"]["m.relations"];
            assert_eq!(told["m.replace"]["event_id"], third);
            redact(&anna, &room_id, &third).await;
            let told = bundle(&bert, &room_id, &parent).await;
            assert_eq!(told["m.replace"]["event_id"], second);
            redact(&anna, &room_id, &parent).await;
            let told = bundle(&bert, &room_id, &parent).await;
            assert!(told["m.replace"].is_null(), "{told}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_and_references_come_with_their_root() {
    on_each_engine(async |stage| {
        for filler in [0, MANY] {
            let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            carl.join(&room_id).await;
            let root = anna.say(&room_id, "root").await;
            let first = send(&bert, &room_id, related("m.thread", &root, "one")).await;
            let reference = send(&bert, &room_id, related("m.reference", &root, "see")).await;
            fill(&anna, &room_id, filler).await;
            let last = send(&carl, &room_id, related("m.thread", &root, "two")).await;
            send(&carl, &room_id, edit(&last, "too")).await;
            let told = bundle(&bert, &room_id, &root).await;
            let thread = &told["m.thread"];
            assert_eq!(
                (&thread["count"], &thread["latest_event"]["event_id"]),
                (&json!(2), &json!(last))
            );
            assert_eq!(thread["current_user_participated"], true);
            let edited = &thread["latest_event"]["unsigned"]["m.relations"]["m.replace"];
            assert_eq!(
                edited["content"]["m.new_content"]["body"], "too",
                "{thread}"
            );
            assert_eq!(
                told["m.reference"]["chunk"],
                json!([{"event_id": reference}])
            );
            // Whom one ignores is not counted.
            ignore(&anna, &carl).await;
            let thread = bundle(&anna, &room_id, &root).await["m.thread"].clone();
            assert_eq!(
                (&thread["count"], &thread["latest_event"]["event_id"]),
                (&json!(1), &json!(first))
            );
            redact(&anna, &room_id, &last).await;
            let thread = bundle(&carl, &room_id, &root).await["m.thread"].clone();
            assert_eq!(
                (&thread["count"], &thread["current_user_participated"]),
                (&json!(1), &json!(false))
            );
            redact(&anna, &room_id, &first).await;
            let told = bundle(&carl, &room_id, &root).await;
            assert!(told["m.thread"].is_null(), "{told}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initial_sync_bundles() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let root = anna.say(&room_id, "root").await;
        let last = send(&anna, &room_id, related("m.thread", &root, "one")).await;
        anna.now_in(&room_id).await;
        let sync = anna.sync(None, "").await;
        let timeline = list(&sync["rooms"]["join"][&room_id]["timeline"]["events"]);
        let event = timeline.iter().find(|event| event["event_id"] == root);
        let told = &event.expect("the root")["unsigned"]["m.relations"];
        assert_eq!(told["m.thread"]["latest_event"]["event_id"], last);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_listed_by_their_newest_event() {
    on_each_engine(async |stage| {
        for filler in [0, MANY] {
            let [anna, bert] = stage.users(["anna", "bert"]).await;
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            let mut roots = Vec::new();
            for name in ["a", "b", "c"] {
                let root = anna.say(&room_id, name).await;
                send(&anna, &room_id, related("m.thread", &root, "one")).await;
                roots.push(root);
            }
            fill(&anna, &room_id, filler).await;
            send(&bert, &room_id, related("m.thread", &roots[0], "two")).await;
            let [a, b, c] = [0, 1, 2].map(|at| roots[at].as_str());
            let all = threads(&bert, &room_id, "").await;
            assert_eq!(ids(&all["chunk"]), [a, c, b]);
            assert!(all.get("next_batch").is_none());
            let told = &all["chunk"][0]["unsigned"]["m.relations"]["m.thread"];
            assert_eq!(told["count"], 2);
            let own = threads(&bert, &room_id, "?include=participated").await;
            assert_eq!(ids(&own["chunk"]), [a]);
            let page = threads(&bert, &room_id, "?limit=2").await;
            assert_eq!(ids(&page["chunk"]), [a, c]);
            let next = format!("?limit=2&from={}", text(&page["next_batch"]));
            let page = threads(&bert, &room_id, &next).await;
            assert_eq!(ids(&page["chunk"]), [b]);
            assert!(page.get("next_batch").is_none());
            // The roots of somebody ignored stay, without their words; threads in which nobody else has written go.
            ignore(&bert, &anna).await;
            let page = threads(&bert, &room_id, "").await;
            assert_eq!(ids(&page["chunk"]), [a]);
            assert_eq!(page["chunk"][0]["content"], json!({}));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_ask_for_what_relates_to_an_event() {
    on_each_engine(async |stage| {
        for filler in [0, MANY] {
            let [anna, bert] = stage.users(["anna", "bert"]).await;
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            let [one, two] = [
                anna.say(&room_id, "one").await,
                anna.say(&room_id, "two").await,
            ];
            send(&anna, &room_id, related("m.thread", &one, "x")).await;
            send(&bert, &room_id, related("m.reference", &two, "x")).await;
            fill(&anna, &room_id, filler).await;
            anna.now_in(&room_id).await;
            for (filter, wanted) in [
                (json!({"related_by_rel_types": ["m.thread"]}), vec![&one]),
                (json!({"related_by_senders": [bert.user_id]}), vec![&two]),
                (json!({"related_by_rel_types": ["m.thread", "m.reference"]}), vec![&one, &two]),
                (json!({"related_by_rel_types": ["m.thread"], "related_by_senders": [bert.user_id]}), vec![]),
            ] {
                let mut timeline = filter.clone();
                timeline["limit"] = json!(50);
                let query = filtered(&json!({"room": {"timeline": timeline}}));
                let sync = anna.sync(None, &query).await;
                let events = &sync["rooms"]["join"][&room_id]["timeline"]["events"];
                let found = if events.is_array() {
                    ids(events)
                } else {
                    Vec::new()
                };
                assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{filter}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_asks_for_what_relates_to_an_event_too() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let one = anna.say(&room_id, "one").await;
        let two = anna.say(&room_id, "two").await;
        send(&anna, &room_id, related("m.thread", &one, "x")).await;
        for filter in [
            json!({"related_by_rel_types": ["m.thread"]}),
            json!({"related_by_senders": [anna.user_id]}),
        ] {
            let filter = encode(&filter.to_string());
            let path = room_path(&room_id, &format!("messages?dir=b&filter={filter}"));
            let page = anna.get(&path).await.ok();
            assert_eq!(ids(&page["chunk"]), std::slice::from_ref(&one));
            let path = room_path(
                &room_id,
                &format!("context/{}?filter={filter}", encode(&two)),
            );
            let around = anna.get(&path).await.ok();
            assert_eq!(ids(&around["events_before"]), std::slice::from_ref(&one));
            assert_eq!(around["events_after"], json!([]));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thread_only_what_may_be_seen_is_counted() {
    on_each_engine(async |stage| {
        for filler in [0, MANY] {
            let [anna, bert] = stage.users(["anna", "bert"]).await;
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            let root = anna.say(&room_id, "root").await;
            let seen = send(&anna, &room_id, related("m.thread", &root, "one")).await;
            let joined = json!({"history_visibility": "joined"});
            anna.set_state(&room_id, "m.room.history_visibility", "", joined)
                .await
                .ok();
            bert.post(&room_path(&room_id, "leave"), json!({}))
                .await
                .ok();
            send(&anna, &room_id, related("m.thread", &root, "two")).await;
            fill(&anna, &room_id, filler).await;
            let counted = async |user: &Client| {
                let thread = bundle(user, &room_id, &root).await["m.thread"].clone();
                (
                    thread["count"].clone(),
                    thread["latest_event"]["event_id"].clone(),
                )
            };
            // Who has left saw one of the two, and goes on seeing that after a return.
            assert_eq!(counted(&bert).await, (json!(1), json!(seen)));
            bert.join(&room_id).await;
            assert_eq!(counted(&bert).await, (json!(1), json!(seen)));
            assert_eq!(counted(&anna).await.0, 2);
        }
    })
    .await;
}

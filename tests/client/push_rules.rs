//! Push rules: reading, placing, switching and removing them, and what they do to unread counts.

use serde_json::{Value, json};

use super::{
    props::{of_type, texts, user_path},
    stage::on_each_engine,
};
use crate::harness::Client;

fn path(rest: &str) -> String {
    format!("/_matrix/client/v3/pushrules/global/{rest}")
}

async fn words(user: &Client) -> Vec<String> {
    let all = user.get(&path("")).await.ok();
    let rules = all["content"].as_array().expect("content rules");
    let own = rules.iter().filter(|rule| rule["default"] == false);
    own.map(|rule| rule["rule_id"].as_str().expect("an ID").to_owned())
        .collect()
}

fn cake() -> Value {
    json!({"pattern": "cake", "actions": ["notify", {"set_tweak": "highlight"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_placed_changed_and_removed() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        for (rule, query) in [("a", ""), ("b", ""), ("c", "?after=b"), ("d", "?before=b")] {
            let path = path(&format!("content/{rule}{query}"));
            anna.put(&path, cake()).await.ok();
        }
        assert_eq!(words(&anna).await, ["d", "b", "c", "a"]);
        anna.delete(&path("content/b")).await.ok();
        assert_eq!(words(&anna).await, ["d", "c", "a"]);
        let rule = anna.get(&path("content/c")).await.ok();
        assert_eq!(rule["pattern"], "cake");
        assert_eq!(rule["actions"][0], "notify");
        let off = json!({"enabled": false});
        anna.put(&path("content/c/enabled"), off.clone()).await.ok();
        assert_eq!(anna.get(&path("content/c/enabled")).await.ok(), off);
        let actions = json!({"actions": []});
        let master = path("override/.m.rule.master/actions");
        anna.put(&master, actions.clone()).await.ok();
        assert_eq!(anna.get(&master).await.ok(), actions);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        for (at, status, code) in [
            ("content/.dot", 400, "M_INVALID_PARAM"),
            ("content/a%2Fb", 400, "M_INVALID_PARAM"),
            ("content/a?before=none", 400, "M_UNKNOWN"),
            (
                "content/a?after=.m.rule.contains_user_name",
                400,
                "M_INVALID_PARAM",
            ),
            ("room/nonsense", 400, "M_INVALID_PARAM"),
        ] {
            anna.put(&path(at), cake()).await.refused(status, code);
        }
        anna.put(&path("content/a"), json!({"pattern": "x"}))
            .await
            .refused(400, "M_MISSING_PARAM");
        anna.get(&path("content/a"))
            .await
            .refused(404, "M_NOT_FOUND");
        anna.get(&path("content/a/enabled"))
            .await
            .refused(404, "M_NOT_FOUND");
        anna.put(&path("content/a/enabled"), json!({"enabled": true}))
            .await
            .refused(404, "M_NOT_FOUND");
        anna.put(&path("content/a/actions"), json!({"actions": []}))
            .await
            .refused(404, "M_NOT_FOUND");
        anna.delete(&path("content/a"))
            .await
            .refused(404, "M_NOT_FOUND");
        anna.delete(&path("override/.m.rule.master"))
            .await
            .refused(400, "M_INVALID_PARAM");
        let data = user_path(&anna.user_id, "account_data/m.push_rules");
        anna.put(&data, json!({"global": {}}))
            .await
            .refused(405, "M_BAD_JSON");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_tell_new_rules_and_count_by_them() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        anna.say(&room_id, "tea").await;
        let counts = |answer: &Value| {
            let room = &answer["rooms"]["join"][&room_id];
            room["unread_notifications"]["notification_count"].as_u64()
        };
        let since = bert.now().await;
        anna.say(&room_id, "more tea").await;
        let answer = bert
            .sync_until(&since, "", |answer| counts(answer) == Some(2))
            .await;
        let since = answer["next_batch"].as_str().expect("a token").to_owned();
        let rule = path(&format!(
            "room/{}",
            crate::harness::client::encode(&room_id)
        ));
        bert.put(&rule, json!({"actions": []})).await.ok();
        let answer = bert
            .sync_until(&since, "", |answer| {
                answer["account_data"]["events"].is_array()
                    && !of_type(&answer["account_data"]["events"], "m.push_rules").is_null()
            })
            .await;
        let rules = of_type(&answer["account_data"]["events"], "m.push_rules");
        assert_eq!(rules["content"]["global"]["room"][0]["rule_id"], *room_id);
        anna.say(&room_id, "even more tea").await;
        bert.sync_until(&since, "", |answer| counts(answer) == Some(0))
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_look_at_related_events() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let rule = json!({
            "conditions": [{
                "kind": "im.nheko.msc3664.related_event_match",
                "rel_type": "m.in_reply_to",
                "key": "sender",
                "pattern": bert.user_id,
            }],
            "actions": ["notify", {"set_tweak": "highlight"}],
        });
        let at = path("override/replies");
        bert.put(&at, rule.clone()).await.ok();
        let kept = bert.get(&at).await.ok();
        assert_eq!(kept["conditions"], rule["conditions"]);
        let able = bert.get("/_matrix/client/v3/capabilities").await.ok();
        let able = &able["capabilities"]["im.nheko.msc3664.related_event_match"];
        assert_eq!(able["enabled"], true);

        let of_bert = bert.say(&room_id, "from bert").await;
        let of_anna = anna.say(&room_id, "from anna").await;
        let reply = async |to: &str| {
            let content = json!({
                "msgtype": "m.text", "body": "indeed", "m.relates_to": {"m.in_reply_to": {"event_id": to}},
            });
            anna.send(&room_id, "m.room.message", content).await
        };
        let counts = |answer: &Value| {
            let unread = &answer["rooms"]["join"][&room_id]["unread_notifications"];
            let count = |name: &str| unread[name].as_u64();
            (count("notification_count"), count("highlight_count"))
        };
        let since = bert.now_in(&room_id).await;
        reply(&of_anna).await;
        let answer = bert
            .sync_until(&since, "", |answer| counts(answer).0 == Some(2))
            .await;
        assert_eq!(counts(&answer).1, Some(0));
        let since = answer["next_batch"].as_str().expect("a token").to_owned();
        let to_bert = reply(&of_bert).await;
        let answer = bert
            .sync_until(&since, "", |answer| counts(answer).0 == Some(3))
            .await;
        assert_eq!(counts(&answer).1, Some(1));
        // Counted anew, out of the room's history.
        bert.put(&path("content/a"), cake()).await.ok();
        assert_eq!(counts(&bert.sync(None, "").await), (Some(3), Some(1)));
        let highlights = "/_matrix/client/v3/notifications?only=highlight";
        let told = bert.get(highlights).await.ok();
        assert_eq!(texts(&told["notifications"], "/event/event_id"), [to_bert]);
    })
    .await;
}

//! `/sync` v2: invitations, knocks, departures, lazy members, filters, ignored users.

use serde_json::{Map, Value, json};

use super::{
    props::{filter, ids, list, members, next_batch, of_type, said, text, types, user_path},
    stage::on_each_engine,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_comes_with_stripped_state() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"name": "Room"})).await;
        let since = bert.now().await;
        anna.invite(&room_id, &bert).await;
        let answer = bert
            .sync_until(&since, "", |answer| {
                answer["rooms"]["invite"].get(&room_id).is_some()
            })
            .await;
        let state = &answer["rooms"]["invite"][&room_id]["invite_state"]["events"];
        let mut told = types(state);
        told.sort();
        told.dedup();
        for event_type in [
            "m.room.create",
            "m.room.join_rules",
            "m.room.member",
            "m.room.name",
        ] {
            assert!(told.iter().any(|told| told == event_type), "{state}");
        }
        for event in list(state) {
            let mut fields: Vec<_> = event.as_object().expect("an event").keys().collect();
            fields.sort();
            assert_eq!(
                fields,
                ["content", "sender", "state_key", "type"],
                "{event}"
            );
        }
        // It is told again in a first sync, and not again in the next one.
        let first = bert.sync(None, "").await;
        assert!(first["rooms"]["invite"].get(&room_id).is_some());
        let next = bert.sync(Some(&next_batch(&answer)), "").await;
        assert!(next["rooms"]["invite"].get(&room_id).is_none());
        // Refused, it goes to those that were left.
        bert.leave(&room_id).await;
        let gone = bert
            .sync_until(&next_batch(&next), "", |answer| {
                answer["rooms"]["leave"].get(&room_id).is_some()
            })
            .await;
        assert!(gone["rooms"]["invite"].get(&room_id).is_none());
        let first = bert.sync(None, "").await;
        assert!(first["rooms"]["invite"].get(&room_id).is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_knock_is_shown_to_both_sides() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let rule = json!({"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}});
        let room_id = anna.create_room(json!({"name": "Room", "initial_state": [rule]})).await;
        let (before, since) = (anna.now_in(&room_id).await, bert.now().await);
        let path = format!("/_matrix/client/v3/knock/{room_id}");
        let answer = bert.post(&path, json!({"reason": "please"})).await.ok();
        assert_eq!(answer["room_id"], *room_id);
        let answer = bert
            .sync_until(&since, "", |answer| {
                answer["rooms"]["knock"].get(&room_id).is_some()
            })
            .await;
        let state = &answer["rooms"]["knock"][&room_id]["knock_state"]["events"];
        assert_eq!(of_type(state, "m.room.name")["content"]["name"], "Room");
        assert_eq!(of_type(state, "m.room.create")["sender"], *anna.user_id);
        let seen = anna
            .sync_until(&before, "", |answer| {
                answer["rooms"]["join"].get(&room_id).is_some()
            })
            .await;
        let event = &seen["rooms"]["join"][&room_id]["timeline"]["events"][0];
        assert_eq!(event["content"]["membership"], "knock");
        assert_eq!(event["content"]["reason"], "please");
        // Let in, the room is joined like any other.
        anna.invite(&room_id, &bert).await;
        bert.join(&room_id).await;
        bert.sync_until(&next_batch(&answer), "", |answer| {
            answer["rooms"]["join"].get(&room_id).is_some()
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_departure_is_told_once() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        for way in ["leave", "kick", "ban"] {
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            let since = bert.now_in(&room_id).await;
            anna.say(&room_id, "before").await;
            if way == "leave" {
                bert.leave(&room_id).await;
            } else {
                let body = json!({"user_id": bert.user_id, "reason": "so"});
                anna.act(&room_id, way, body).await.ok();
            }
            anna.say(&room_id, "after").await;
            bert.sync_until(&since, "", |answer| {
                answer["rooms"]["leave"].get(&room_id).is_some()
            })
            .await;
            let answer = bert.sync(Some(&since), "").await;
            let events = &answer["rooms"]["leave"][&room_id]["timeline"]["events"];
            assert_eq!(said(events), ["before"], "{way}");
            let last = list(events).last().expect("the departure");
            let membership = if way == "ban" { "ban" } else { "leave" };
            assert_eq!(last["content"]["membership"], membership);
            let next = bert.sync(Some(&next_batch(&answer)), "").await;
            assert!(next["rooms"]["leave"].get(&room_id).is_none(), "{way}");
            // Not in a first sync, unless it is asked for.
            let first = bert.sync(None, "").await;
            assert!(first["rooms"]["leave"].get(&room_id).is_none(), "{way}");
            let wanted = filter(&json!({"room": {"include_leave": true}}));
            let first = bert.sync(None, &wanted).await;
            let room = &first["rooms"]["leave"][&room_id];
            assert!(!said(&room["timeline"]["events"]).contains(&"after".to_owned()));
            bert.act(&room_id, "forget", json!({})).await.ok();
            let first = bert.sync(None, &wanted).await;
            assert!(first["rooms"]["leave"].get(&room_id).is_none(), "{way}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lazy_members_are_those_who_spoke() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let room_id = anna
            .create_room(json!({"preset": "public_chat", "name": "Room"}))
            .await;
        bert.join(&room_id).await;
        carl.join(&room_id).await;
        bert.say(&room_id, "I speak").await;
        let lazy = filter(&json!({"room": {
            "state": {"lazy_load_members": true}, "timeline": {"limit": 1}
        }}));
        carl.now_in(&room_id).await;
        let first = carl.sync(None, &lazy).await;
        let room = &first["rooms"]["join"][&room_id];
        let mut wanted = vec![bert.user_id.clone(), carl.user_id.clone()];
        wanted.sort();
        assert_eq!(members(&room["state"]["events"]), wanted);
        // Who speaks for the first time is introduced; who is known is not introduced again.
        anna.say(&room_id, "me too").await;
        let answer = carl
            .sync_until(&next_batch(&first), &lazy, |answer| {
                answer["rooms"]["join"].get(&room_id).is_some()
            })
            .await;
        let room = &answer["rooms"]["join"][&room_id];
        assert_eq!(members(&room["state"]["events"]), [anna.user_id.as_str()]);
        let lazier = filter(&json!({"room": {
            "state": {"lazy_load_members": true, "include_redundant_members": true},
            "timeline": {"limit": 1}
        }}));
        bert.say(&room_id, "again").await;
        let answer = carl
            .sync_until(&next_batch(&answer), &lazier, |answer| {
                answer["rooms"]["join"].get(&room_id).is_some()
            })
            .await;
        let room = &answer["rooms"]["join"][&room_id];
        assert_eq!(members(&room["state"]["events"]), [bert.user_id.as_str()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_without_a_name_has_heroes() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let room_id = anna.create_room(json!({"preset": "private_chat"})).await;
        anna.invite(&room_id, &bert).await;
        anna.invite(&room_id, &carl).await;
        bert.join(&room_id).await;
        let lazy = filter(&json!({"room": {
            "state": {"lazy_load_members": true}, "timeline": {"limit": 1}
        }}));
        bert.now_in(&room_id).await;
        let first = bert.sync(None, &lazy).await;
        let room = &first["rooms"]["join"][&room_id];
        let heroes = json!([anna.user_id, carl.user_id]);
        assert_eq!(room["summary"]["m.heroes"], heroes, "{room}");
        assert_eq!(room["summary"]["m.joined_member_count"], 2);
        assert_eq!(room["summary"]["m.invited_member_count"], 1);
        let told = members(&room["state"]["events"]);
        assert!(told.contains(&anna.user_id) && told.contains(&carl.user_id));
    })
    .await;
}

/// A room in which much has happened, and what a sync of it with a room filter gives.
#[tokio::test(flavor = "multi_thread")]
async fn filters_choose() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat", "topic": "Talk"})).await;
        let other_id = anna.create_room(json!({})).await;
        bert.join(&room_id).await;
        anna.say(&room_id, "from anna").await;
        bert.say(&room_id, "from bert").await;
        let picture = json!({"msgtype": "m.image", "body": "picture", "url": "mxc://playhouse.test/a"});
        anna.send(&room_id, "m.room.message", picture).await;
        anna.send(&room_id, "org.example.odd", json!({"body": "odd"})).await;
        anna.now_in(&room_id).await;
        let timeline = async |filter_of_timeline: Value| {
            let query = filter(&json!({"room": {"timeline": filter_of_timeline}}));
            let answer = anna.sync(None, &query).await;
            answer["rooms"]["join"][&room_id]["timeline"]["events"].clone()
        };
        let (anna_id, bert_id) = (anna.user_id.as_str(), bert.user_id.as_str());
        let cases = [
            (json!({"types": ["m.room.message"]}), vec!["from anna", "from bert", "picture"]),
            (json!({"types": ["m.room.*"], "not_types": ["m.room.message"]}), vec![]),
            (json!({"types": ["org.*"]}), vec!["odd"]),
            (json!({"types": ["m.room.message"], "senders": [bert_id]}), vec!["from bert"]),
            (json!({"types": ["m.room.message"], "not_senders": [anna_id]}), vec!["from bert"]),
            (json!({"types": ["m.room.message"], "senders": [bert_id], "not_senders": [bert_id]}), vec![]),
            (json!({"contains_url": true}), vec!["picture"]),
            (json!({"types": ["m.room.message"], "contains_url": false}), vec!["from anna", "from bert"]),
            (json!({"types": ["m.room.message"], "rooms": [other_id]}), vec![]),
            (json!({"types": ["m.room.message"], "not_rooms": [room_id]}), vec![]),
            (json!({"types": []}), vec![]),
            (json!({"types": ["m.room.message"], "limit": 1}), vec!["picture"]),
        ];
        for (wanted, given) in cases {
            assert_eq!(said(&timeline(wanted.clone()).await), given, "{wanted}");
        }
        let sync = async |wanted: Value| anna.sync(None, &filter(&wanted)).await;
        let only = sync(json!({"room": {"rooms": [room_id]}})).await;
        let joined: Vec<_> = only["rooms"]["join"].as_object().expect("rooms").keys().collect();
        assert_eq!(joined, [&room_id]);
        let without = sync(json!({"room": {"not_rooms": [room_id]}})).await;
        assert!(without["rooms"]["join"].get(&room_id).is_none());
        let none = sync(json!({"room": {"rooms": []}})).await;
        assert!(none["rooms"]["join"].as_object().is_none_or(Map::is_empty));
        let wanted = json!({"room": {"timeline": {"limit": 1}, "state": {"types": ["m.room.topic"]}}});
        let state = &sync(wanted).await["rooms"]["join"][&room_id]["state"]["events"];
        assert_eq!(types(state), ["m.room.topic"]);
        let quiet = sync(json!({"presence": {"types": []}, "account_data": {"types": []}})).await;
        assert!(quiet["presence"]["events"].as_array().is_none_or(Vec::is_empty), "{quiet}");
        assert!(quiet["account_data"]["events"].as_array().is_none_or(Vec::is_empty));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_filter_is_used_by_its_id() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        anna.say(&room_id, "hello").await;
        let wanted = json!({"room": {"timeline": {"types": ["m.room.message"]}}});
        let path = user_path(&anna.user_id, "filter");
        let stored = anna.post(&path, wanted).await.ok();
        anna.now_in(&room_id).await;
        let query = format!("filter={}", text(&stored["filter_id"]));
        let answer = anna.sync(None, &query).await;
        let timeline = &answer["rooms"]["join"][&room_id]["timeline"];
        assert_eq!(types(&timeline["events"]), ["m.room.message"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ignored_users_are_not_heard() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        carl.join(&room_id).await;
        let path = user_path(&carl.user_id, "account_data/m.ignored_user_list");
        let ignored = json!({"ignored_users": {&bert.user_id: {}}});
        carl.put(&path, ignored).await.ok();
        let since = carl.now_in(&room_id).await;
        bert.say(&room_id, "unheard").await;
        let topic = json!({"topic": "still state"});
        anna.set_state(
            &room_id,
            "m.room.power_levels",
            "",
            json!({"users": {&anna.user_id: 100, &bert.user_id: 50}}),
        )
        .await;
        bert.set_state(&room_id, "m.room.topic", "", topic).await;
        let heard = anna.say(&room_id, "heard").await;
        let mut seen = carl.sync_to(&since, &room_id, &heard).await.0;
        seen.retain(|event| event["type"] == "m.room.message");
        assert_eq!(ids(&Value::Array(seen)), [heard]);
        let history = Value::Array(carl.history(&room_id).await);
        assert_eq!(said(&history), ["heard"]);
        // An invitation from somebody ignored is not shown.
        let elsewhere = bert.create_room(json!({})).await;
        bert.invite(&elsewhere, &carl).await;
        let marker = anna.say(&room_id, "marker").await;
        carl.sync_to(&since, &room_id, &marker).await;
        let answer = carl.sync(Some(&since), "").await;
        assert!(
            answer["rooms"]["invite"].get(&elsewhere).is_none(),
            "{answer}"
        );
    })
    .await;
}

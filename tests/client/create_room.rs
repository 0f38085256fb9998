//! Making rooms: presets, versions, initial state, aliases; replacing them.

use serde_json::{Value, json};

use super::{
    props::{ids, list, of_type, room_path, said, text, types},
    stage::{fresh, on_each_engine},
};
use crate::harness::{Client, client::encode};

const CREATE: &str = "/_matrix/client/v3/createRoom";

async fn state(client: &Client, room_id: &str) -> Value {
    client.look(room_id, "state").await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn presets_set_their_rules() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let cases = [
            (json!({}), ("invite", "shared", "can_join")),
            (
                json!({"visibility": "public"}),
                ("public", "shared", "forbidden"),
            ),
            (
                json!({"preset": "private_chat"}),
                ("invite", "shared", "can_join"),
            ),
            (
                json!({"preset": "trusted_private_chat"}),
                ("invite", "shared", "can_join"),
            ),
            (
                json!({"preset": "public_chat"}),
                ("public", "shared", "forbidden"),
            ),
        ];
        for (body, (join_rule, visibility, guests)) in cases {
            for version in ["11", "12"] {
                let mut body = body.clone();
                body["room_version"] = json!(version);
                body["invite"] = json!([bert.user_id]);
                let room_id = anna.create_room(body.clone()).await;
                let state = state(&anna, &room_id).await;
                let content = |event_type: &str| of_type(&state, event_type)["content"].clone();
                assert_eq!(
                    content("m.room.join_rules")["join_rule"],
                    join_rule,
                    "{body}"
                );
                let shown = content("m.room.history_visibility");
                assert_eq!(shown["history_visibility"], visibility, "{body}");
                assert_eq!(
                    content("m.room.guest_access")["guest_access"],
                    guests,
                    "{body}"
                );
                let trusted = body["preset"] == "trusted_private_chat";
                let users = &content("m.room.power_levels")["users"];
                let creators = &content("m.room.create")["additional_creators"];
                if version == "11" {
                    assert_eq!(users[&anna.user_id], 100, "{body}");
                    assert_eq!(users[&bert.user_id] == 100, trusted, "{body}");
                } else {
                    // Creators stand above all levels and may not be given one.
                    assert!(users.get(&anna.user_id).is_none(), "{users}");
                    assert_eq!(*creators == json!([bert.user_id]), trusted, "{body}");
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wished_is_there() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let alias = fresh("wished");
        let body = json!({
            "name": "Room", "topic": "Talk", "room_alias_name": alias, "invite": [bert.user_id], "is_direct": true,
            "room_version": "10", "preset": "private_chat",
            "creation_content": {"m.federate": false, "type": "m.space", "creator": "@somebody:else"},
            "initial_state": [
                {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
                {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}},
                {"type": "org.example.thing", "state_key": "key", "content": {"a": 1}}
            ],
            "power_level_content_override": {"events_default": 7, "users": {&anna.user_id: 100, &bert.user_id: 42}}
        });
        let room_id = anna.create_room(body).await;
        let state = state(&anna, &room_id).await;
        let content = |event_type: &str| of_type(&state, event_type)["content"].clone();
        let create = content("m.room.create");
        assert_eq!(create["m.federate"], false);
        assert_eq!(create["type"], "m.space");
        assert_eq!(create["creator"], *anna.user_id);
        assert_eq!(create["room_version"], "10");
        assert_eq!(content("m.room.name")["name"], "Room");
        assert_eq!(content("m.room.topic")["topic"], "Talk");
        let alias = format!("#{alias}:playhouse.test");
        assert_eq!(content("m.room.canonical_alias")["alias"], *alias);
        assert_eq!(content("m.room.history_visibility")["history_visibility"], "joined");
        assert_eq!(content("m.room.encryption")["algorithm"], "m.megolm.v1.aes-sha2");
        assert_eq!(content("org.example.thing")["a"], 1);
        let levels = content("m.room.power_levels");
        assert_eq!(levels["events_default"], 7);
        assert_eq!(levels["users"][&bert.user_id], 42);
        let invite = list(&state).iter().find(|event| event["state_key"] == *bert.user_id);
        let invite = &invite.expect("an invitation")["content"];
        assert_eq!((&invite["membership"], &invite["is_direct"]), (&json!("invite"), &json!(true)));
        let found = anna.get(&format!("/_matrix/client/v3/directory/room/{}", encode(&alias))).await.ok();
        assert_eq!(found["room_id"], *room_id);
        // The events stand in the order in which the specification makes them.
        let history = Value::Array(anna.history(&room_id).await);
        let order = types(&history);
        assert_eq!(order[..4], ["m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias"]);
        let place = |event_type: &str| order.iter().position(|known| known == event_type);
        assert!(place("m.room.join_rules") < place("org.example.thing"));
        assert!(place("org.example.thing") < place("m.room.name"));
        assert_eq!(order.last().map(String::as_str), Some("m.room.member"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_can_be_talked_in() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        for version in 1..=12 {
            let body = json!({"room_version": version.to_string(), "preset": "private_chat"});
            let room_id = anna.create_room(body).await;
            assert_eq!(room_id.contains(':'), version < 12, "{room_id}");
            anna.invite(&room_id, &bert).await;
            bert.join(&room_id).await;
            let first = anna.say(&room_id, "hello").await;
            assert_eq!(first.contains(':'), version < 3, "{first}");
            let second = bert.say(&room_id, "good day").await;
            let removed = anna.redact(&room_id, &second).await;
            let history = Value::Array(bert.history(&room_id).await);
            assert_eq!(said(&history), ["hello"], "version {version}");
            let known = ids(&history);
            assert_eq!(
                known[known.len() - 3..],
                [first, second.clone(), removed.clone()]
            );
            let redaction = list(&history).last().expect("the redaction");
            // Clients find the target in both places, whatever the version.
            assert_eq!(redaction["redacts"], *second, "version {version}");
            if version >= 11 {
                assert_eq!(
                    redaction["content"]["redacts"], *second,
                    "version {version}"
                );
            }
            bert.leave(&room_id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_that_cannot_be_are_refused() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let alias = fresh("taken");
        anna.create_room(json!({"room_alias_name": alias})).await;
        let cases = [
            (json!({"room_alias_name": alias}), "M_ROOM_IN_USE"),
            (json!({"room_version": "99"}), "M_UNSUPPORTED_ROOM_VERSION"),
            (json!({"preset": "unheard_of"}), "M_INVALID_PARAM"),
            (json!({"visibility": "sometimes"}), "M_INVALID_PARAM"),
            (json!({"name": 5}), "M_BAD_JSON"),
            (json!({"invite": ["nobody"]}), "M_BAD_JSON"),
            (json!({"initial_state": [{"content": {}}]}), "M_MISSING_PARAM"),
            (json!({"room_version": "9", "name": "Room", "power_level_content_override": {"users": {&anna.user_id: 10}}}), "M_INVALID_ROOM_STATE"),
            (json!({"room_version": "9", "power_level_content_override": {"users": {"nobody": 50}}}), "M_BAD_JSON"),
            (json!({"room_version": "12", "power_level_content_override": {"users": {&anna.user_id: 100}}}), "M_BAD_JSON"),
        ];
        for (body, errcode) in cases {
            let answer = anna.post(CREATE, body.clone()).await;
            let told = (answer.status, text(&answer.body["errcode"]));
            assert_eq!(told, (400, errcode.to_owned()), "{body}: {}", answer.body);
        }
        let text = |text: &[u8]| text.to_vec();
        let broken = anna.raw(reqwest::Method::POST, CREATE, text(b"{\"name\":")).await;
        broken.expect("an answer").refused(400, "M_NOT_JSON");
        stage.client().post(CREATE, json!({})).await.refused(401, "M_MISSING_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_moves_what_belongs_to_the_room() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        for (from, to) in [("6", "10"), ("10", "12"), ("12", "12")] {
            let alias = fresh("moved");
            let body = json!({"room_version": from, "preset": "public_chat", "name": "Room", "room_alias_name": alias});
            let old = anna.create_room(body).await;
            bert.join(&old).await;
            bert.act(&old, "upgrade", json!({"new_version": to})).await.refused(403, "M_FORBIDDEN");
            let answer = anna.act(&old, "upgrade", json!({"new_version": to})).await.ok();
            let new = text(&answer["replacement_room"]);
            let tombstone = anna.look(&old, "state/m.room.tombstone/").await.ok();
            assert_eq!(tombstone["replacement_room"], *new);
            let state = state(&anna, &new).await;
            let create = &of_type(&state, "m.room.create")["content"];
            assert_eq!(create["room_version"], to);
            assert_eq!(create["predecessor"]["room_id"], *old);
            assert_eq!(of_type(&state, "m.room.name")["content"]["name"], "Room");
            assert_eq!(of_type(&state, "m.room.join_rules")["content"]["join_rule"], "public");
            let alias = format!("#{alias}:playhouse.test");
            assert_eq!(of_type(&state, "m.room.canonical_alias")["content"]["alias"], *alias);
            let found = anna.get(&format!("/_matrix/client/v3/directory/room/{}", encode(&alias))).await.ok();
            assert_eq!(found["room_id"], *new);
            bert.join(&new).await;
            bert.say(&new, "here now").await;
            // The old room is closed to those without the level.
            let path = room_path(&old, &format!("send/m.room.message/{}", fresh("t")));
            bert.put(&path, json!({"body": "still there?"})).await.refused(403, "M_FORBIDDEN");
        }
        let room_id = anna.create_room(json!({})).await;
        let odd = anna.act(&room_id, "upgrade", json!({"new_version": "99"})).await;
        odd.refused(400, "M_UNSUPPORTED_ROOM_VERSION");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_made_found_and_removed() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let alias = format!("#{}:playhouse.test", fresh("name"));
        let path = format!("/_matrix/client/v3/directory/room/{}", encode(&alias));
        stage.client().get(&path).await.refused(404, "M_NOT_FOUND");
        anna.put(&path, json!({"room_id": room_id})).await.ok();
        assert_eq!(
            anna.put(&path, json!({"room_id": room_id})).await.status,
            409
        );
        let found = stage.client().get(&path).await.ok();
        assert_eq!(found["room_id"], *room_id);
        assert_eq!(found["servers"], json!(["playhouse.test"]));
        assert_eq!(
            anna.look(&room_id, "aliases").await.ok()["aliases"],
            json!([alias])
        );
        let join = format!("/_matrix/client/v3/join/{}", encode(&alias));
        assert_eq!(bert.post(&join, json!({})).await.ok()["room_id"], *room_id);
        let canonical = async |alias: &str| {
            anna.set_state(
                &room_id,
                "m.room.canonical_alias",
                "",
                json!({ "alias": alias }),
            )
            .await
        };
        canonical(&alias).await.ok();
        canonical("#nowhere:playhouse.test")
            .await
            .refused(400, "M_BAD_ALIAS");
        canonical("nonsense").await.refused(400, "M_INVALID_PARAM");
        bert.delete(&path).await.refused(403, "M_FORBIDDEN");
        anna.delete(&path).await.ok();
        anna.delete(&path).await.refused(404, "M_NOT_FOUND");
        stage.client().get(&path).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

//! What users keep: profile, account data, tags, filters; and what the server tells of itself.

use serde_json::{Value, json};

use super::{
    props::{text, user_path},
    stage::on_each_engine,
};
use crate::harness::{Client, client::encode};

fn profile(user: &Client, field: &str) -> String {
    let field = if field.is_empty() {
        String::new()
    } else {
        format!("/{field}")
    };
    format!(
        "/_matrix/client/v3/profile/{}{field}",
        encode(&user.user_id)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_have_any_field() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let set = async |field: &str, value: Value| {
            anna.put(&profile(&anna, field), json!({ field: value })).await
        };
        set("displayname", json!("Anna")).await.ok();
        set("avatar_url", json!("mxc://playhouse.test/face")).await.ok();
        set("m.tz", json!("Europe/Berlin")).await.ok();
        set("org.example.pets", json!({"cats": 2})).await.ok();
        let nobody = stage.client();
        let whole = nobody.get(&profile(&anna, "")).await.ok();
        let wanted = json!({
            "displayname": "Anna", "avatar_url": "mxc://playhouse.test/face", "m.tz": "Europe/Berlin", "org.example.pets": {"cats": 2}
        });
        assert_eq!(whole, wanted);
        let pets = nobody.get(&profile(&anna, "org.example.pets")).await.ok();
        assert_eq!(pets, json!({"org.example.pets": {"cats": 2}}));
        anna.delete(&profile(&anna, "org.example.pets")).await.ok();
        nobody.get(&profile(&anna, "org.example.pets")).await.refused(404, "M_NOT_FOUND");
        anna.delete(&profile(&anna, "org.example.pets")).await.ok();
        let stranger = profile(&anna, "displayname");
        bert.put(&stranger, json!({"displayname": "Mine"})).await.refused(403, "M_FORBIDDEN");
        bert.delete(&stranger).await.refused(403, "M_FORBIDDEN");
        set("displayname", json!(5)).await.refused(400, "M_BAD_JSON");
        let other = anna.put(&profile(&anna, "displayname"), json!({"name": "x"})).await;
        other.refused(400, "M_MISSING_PARAM");
        set(&"x".repeat(256), json!(1)).await.refused(400, "M_KEY_TOO_LARGE");
        set("org.example.large", json!("x".repeat(65_536))).await.refused(400, "M_PROFILE_TOO_LARGE");
        nobody.get("/_matrix/client/v3/profile/%40nobody-at-all%3Aplayhouse.test").await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_reaches_the_rooms() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = bert.now_in(&room_id).await;
        anna.put(
            &profile(&anna, "displayname"),
            json!({"displayname": "Anna"}),
        )
        .await
        .ok();
        bert.sync_until(&since, "", |answer| {
            let events = &answer["rooms"]["join"][&room_id]["timeline"]["events"];
            events.as_array().into_iter().flatten().any(|event| {
                event["state_key"] == *anna.user_id
                    && event["content"] == json!({"membership": "join", "displayname": "Anna"})
                    && event["unsigned"]["prev_content"]["membership"] == "join"
            })
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_is_kept_and_is_private() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({})).await;
        let of_room = format!("rooms/{}/account_data", encode(&room_id));
        for place in ["account_data", &of_room] {
            let path =
                |event_type: &str| user_path(&anna.user_id, &format!("{place}/{event_type}"));
            let own = path("org.example.data");
            anna.get(&own).await.refused(404, "M_NOT_FOUND");
            anna.put(&own, json!({"a": [1, {"b": null}]})).await.ok();
            assert_eq!(anna.get(&own).await.ok(), json!({"a": [1, {"b": null}]}));
            anna.put(&own, json!({})).await.ok();
            assert_eq!(anna.get(&own).await.ok(), json!({}));
            bert.get(&own).await.refused(403, "M_FORBIDDEN");
            bert.put(&own, json!({})).await.refused(403, "M_FORBIDDEN");
            anna.put(&path("m.fully_read"), json!({}))
                .await
                .refused(405, "M_BAD_JSON");
            anna.put(&path("m.push_rules"), json!({}))
                .await
                .refused(405, "M_BAD_JSON");
            let list = anna.put(&own, json!([1])).await;
            list.refused(400, "M_BAD_JSON");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_can_be_deleted() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({})).await;
        let of_room = format!("rooms/{}/account_data", encode(&room_id));
        for place in ["account_data", &of_room] {
            let rest = format!("{place}/org.example.data");
            let own = user_path(&anna.user_id, &rest);
            let deleting = own.replace("/v3/", "/unstable/org.matrix.msc3391/");
            anna.put(&own, json!({"a": 1})).await.ok();
            let since = text(&anna.sync(None, "").await["next_batch"]);
            bert.delete(&deleting).await.refused(403, "M_FORBIDDEN");
            anna.delete(&deleting).await.ok();
            anna.delete(&deleting).await.ok();
            anna.get(&own).await.refused(404, "M_NOT_FOUND");
            let is_gone = |answer: &Value, content: Option<Value>| {
                let global = answer["account_data"]["events"].as_array();
                let room = &answer["rooms"]["join"][&room_id]["account_data"]["events"];
                let mut events = global.into_iter().chain(room.as_array()).flatten();
                let found = events.find(|event| event["type"] == "org.example.data");
                assert_eq!(
                    found.map(|event| event["content"].clone()),
                    content,
                    "{answer}"
                );
            };
            is_gone(&anna.sync(Some(&since), "").await, Some(json!({})));
            is_gone(&anna.sync(None, "").await, None);
            let rules = deleting.replace("org.example.data", "m.push_rules");
            anna.delete(&rules).await.refused(405, "M_BAD_JSON");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_set_listed_and_removed() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({})).await;
        let path = |tag: &str| {
            let rest = format!("rooms/{}/tags{tag}", encode(&room_id));
            user_path(&anna.user_id, &rest)
        };
        assert_eq!(anna.get(&path("")).await.ok(), json!({"tags": {}}));
        anna.put(&path("/m.favourite"), json!({"order": 0.25}))
            .await
            .ok();
        anna.put(&path("/u.work"), json!({})).await.ok();
        let tags = json!({"tags": {"m.favourite": {"order": 0.25}, "u.work": {}}});
        assert_eq!(anna.get(&path("")).await.ok(), tags);
        anna.delete(&path("/u.work")).await.ok();
        let tags = json!({"tags": {"m.favourite": {"order": 0.25}}});
        assert_eq!(anna.get(&path("")).await.ok(), tags);
        bert.get(&path("")).await.refused(403, "M_FORBIDDEN");
        bert.put(&path("/u.work"), json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        bert.delete(&path("/m.favourite"))
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_stored() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let path = user_path(&anna.user_id, "filter");
        let wanted = json!({"room": {"timeline": {"limit": 7, "types": ["m.room.*"]}}, "event_fields": ["type"]});
        let id = text(&anna.post(&path, wanted.clone()).await.ok()["filter_id"]);
        assert!(!id.starts_with('{'));
        assert_eq!(anna.get(&format!("{path}/{id}")).await.ok(), wanted);
        anna.get(&format!("{path}/4711")).await.refused(404, "M_NOT_FOUND");
        bert.get(&format!("{path}/{id}")).await.refused(403, "M_FORBIDDEN");
        bert.post(&path, wanted).await.refused(403, "M_FORBIDDEN");
        for bad in [json!({"room": 5}), json!({"room": {"rooms": ["nonsense"]}})] {
            let answer = anna.post(&path, bad.clone()).await;
            assert_eq!(answer.status, 400, "{bad}: {}", answer.body);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_of_itself() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let nobody = stage.client();
        let versions = nobody.get("/_matrix/client/versions").await;
        assert_eq!(versions.header("access-control-allow-origin"), "*");
        let versions = versions.ok();
        assert!(
            versions["versions"]
                .as_array()
                .is_some_and(|known| known.contains(&json!("v1.11")))
        );
        let told = anna.get("/_matrix/client/v3/capabilities").await.ok();
        let rooms = &told["capabilities"]["m.room_versions"];
        for version in 1..=12 {
            assert!(
                rooms["available"].get(version.to_string()).is_some(),
                "{rooms}"
            );
        }
        nobody
            .get("/_matrix/client/v3/capabilities")
            .await
            .refused(401, "M_MISSING_TOKEN");
        nobody
            .get("/_matrix/client/v3/unheard_of")
            .await
            .refused(404, "M_UNRECOGNIZED");
        anna.delete("/_matrix/client/v3/account/whoami")
            .await
            .refused(405, "M_UNRECOGNIZED");
        let options = nobody
            .request(
                reqwest::Method::OPTIONS,
                "/_matrix/client/v3/createRoom",
                None,
            )
            .await;
        assert!((200..300).contains(&options.status));
        assert!(
            options
                .header("access-control-allow-headers")
                .contains("Authorization")
        );
        assert!(
            options
                .header("access-control-allow-methods")
                .contains("PUT")
        );
        let rules = anna.get("/_matrix/client/v3/pushrules/").await.ok();
        assert!(rules["global"]["override"].is_array());
    })
    .await;
}

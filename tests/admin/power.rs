//! Administrators who bring users into rooms, give power there, and join the ends of the event graph.

use reqwest::Method;
use serde_json::json;

use super::administrator;
use crate::{
    client::stage::{fresh, on_each_engine},
    harness::client::encode,
};

const ADMIN: &str = "/_synapse/admin/v1";

#[tokio::test(flavor = "multi_thread")]
async fn power_is_given_and_users_are_brought_in() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        for version in ["9", "12"] {
            let wish = json!({"preset": "private_chat", "room_version": version});
            let room_id = anna.create_room(wish).await;
            let power = format!("{ADMIN}/rooms/{}/make_room_admin", encode(&room_id));
            let join = format!("{ADMIN}/join/{}", encode(&room_id));
            let bring = json!({"user_id": bert.user_id});
            let answer = boss.post(&join, bring.clone()).await;
            answer.refused(403, "M_FORBIDDEN");
            bert.post(&power, json!({}))
                .await
                .refused(403, "M_FORBIDDEN");
            bert.post(&join, bring.clone())
                .await
                .refused(403, "M_FORBIDDEN");
            for _ in 0..2 {
                assert_eq!(boss.post(&power, json!({})).await.ok(), json!({}));
            }
            boss.join(&room_id).await;
            let levels = boss.look(&room_id, "state/m.room.power_levels").await.ok();
            assert_eq!(levels["users"][&boss.user_id], 100, "{version}");
            let name = boss.set_state(&room_id, "m.room.name", "", json!({"name": "Ours"}));
            name.await.ok();
            // Now there is somebody who can invite.
            let answer = boss.post(&join, bring).await.ok();
            assert_eq!(answer, json!({"room_id": room_id}));
            bert.say(&room_id, "here").await;
            let ends = format!("{ADMIN}/rooms/{}/forward_extremities", encode(&room_id));
            let told = boss.get(&ends).await.ok();
            assert_eq!(told["count"], 1);
            assert!(
                told["results"][0]["received_ts"].as_u64() > Some(0),
                "{told}"
            );
            let answer = boss.request(Method::DELETE, &ends, None).await;
            assert_eq!(answer.ok(), json!({"deleted": 0}));
            bert.get(&ends).await.refused(403, "M_FORBIDDEN");
        }
        let unknown = format!("{ADMIN}/rooms/%21unknown%3Aplayhouse.test/make_room_admin");
        boss.post(&unknown, json!({}))
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

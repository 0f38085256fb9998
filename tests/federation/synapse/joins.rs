//! Into each other's rooms, by each way, in every version.

use serde_json::json;

use super::{agree, alias, both_ways, sees};
use crate::client::stage::fresh;

#[tokio::test(flavor = "multi_thread")]
async fn by_alias_in_every_version() {
    both_ways(async |host, guest| {
        for version in ["10", "11", "12", "1", "6"] {
            let name = fresh("square");
            let wish =
                json!({"preset": "public_chat", "room_version": version, "room_alias_name": name});
            let room_id = host.create_room(wish).await;
            host.say(&room_id, "before").await;
            guest.join(&alias(host, &name)).await;
            let welcome = host.say(&room_id, "welcome").await;
            sees(guest, &room_id, &welcome).await;
            let thanks = guest.say(&room_id, "thank you").await;
            sees(host, &room_id, &thanks).await;
            agree(host, guest, &room_id).await;
        }
    })
    .await;
}

//! Joins through other servers that are under way.

use serde_json::{Value, json};

use super::{administrator, awaited};
use crate::harness::{
    client::encode,
    crowd::{CROWD, Crowd, ROOM},
};

const JOINS: &str = "/_playhouse/admin/v1/joins";

const ANNA: &str = "@anna:playhouse.test";

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_seen_and_cancelled() {
    let crowd = Crowd::gather(3, &[]).await;
    crowd.keep_silent(true);
    let ours = crowd.open().await;
    let boss = administrator(&ours.client(), "boss").await;
    let anna = ours.register("anna").await;
    let nothing = json!({"joins": []});
    assert_eq!(boss.get(JOINS).await.ok(), nothing);
    anna.get(JOINS).await.refused(403, "M_FORBIDDEN");
    let one = format!("{JOINS}/{}/{}", encode(ROOM), encode(ANNA));
    boss.delete(&one).await.refused(404, "M_NOT_FOUND");
    let joining = tokio::spawn(async move {
        let path = format!("/_matrix/client/v3/join/{}?via={CROWD}", encode(ROOM));
        anna.post(&path, json!({})).await
    });
    let is_sent = |told: &Value| told["joins"][0]["stage"] == "sent";
    let told = awaited(&boss, JOINS, is_sent).await;
    let join = &told["joins"][0];
    assert_eq!(join["room_id"], ROOM);
    assert_eq!(join["user_id"], ANNA);
    assert_eq!(join["server"], CROWD);
    assert!(join["since_ts"].is_u64(), "{join}");
    boss.delete(&one).await.ok();
    let joined = joining.await.expect("it does not panic");
    joined.refused(403, "M_FORBIDDEN");
    // The server that has let the user in is told.
    awaited(&boss, JOINS, |told| *told == nothing).await;
    assert_eq!(crowd.leaves(), 1);
    boss.delete(&one).await.refused(404, "M_NOT_FOUND");
}

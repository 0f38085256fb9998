//! Two servers find each other and believe each other's signatures.

use serde_json::json;

use crate::harness::Town;

#[tokio::test(flavor = "multi_thread")]
async fn servers_read_each_others_keys() {
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &[]).await;
    let two = town.open("two.town", &[]).await;
    let wish = json!({ "server_keys": { "two.town": {} } });
    let answer = one.client().post("/_matrix/key/v2/query", wish).await.ok();
    let told = &answer["server_keys"][0];
    assert_eq!(told["server_name"], "two.town");
    assert!(told["signatures"]["one.town"].is_object(), "{told}");
    let own = two.client().get("/_matrix/key/v2/server").await.ok();
    assert_eq!(told["verify_keys"], own["verify_keys"]);
}

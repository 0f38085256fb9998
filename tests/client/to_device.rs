//! Sending to devices.

use serde_json::json;

use crate::harness::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_delivers_nothing_and_other_servers_do_not_hinder() {
    let server = TestServer::start().await;
    let (anna, ben) = (server.register("anna").await, server.register("ben").await);
    let body = json!({"messages": {
        (ben.user_id.clone()): {"*": {"n": 1}},
        "@carol:elsewhere.example": {"*": {"n": 1}},
    }});
    for transaction in ["one", "one", "two"] {
        let path = format!("/_matrix/client/v3/sendToDevice/m.test/{transaction}");
        anna.put(&path, body.clone()).await.ok();
    }
    let sync = ben.sync(None, "timeout=10000").await;
    let events = sync["to_device"]["events"].as_array().expect("messages");
    assert_eq!(events.len(), 2, "{sync}");
}

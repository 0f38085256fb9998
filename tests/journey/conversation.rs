//! Real clients talk in an encrypted room, through a restart of the server.

use super::story::{js_sdk, nio, tell};

#[tokio::test(flavor = "multi_thread")]
async fn matrix_nio() {
    tell(&mut nio("conversation.py"), &[], "CONVERSATION OK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn matrix_js_sdk() {
    tell(&mut js_sdk("conversation.mjs"), &[], "CONVERSATION OK").await;
}

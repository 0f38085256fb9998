//! The dashboard's page of tokens, while others do something with them.

use serde_json::json;

use super::{
    administrator,
    dashboard::{go, sign_in, submit},
};
use crate::{
    client::props::text,
    harness::{Chromium, TestServer},
};

const TOKENS: &str = "/_playhouse/admin/v1/tokens";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_somebody_else_has_ended_is_gone() {
    let server = TestServer::start().await;
    let boss = administrator(&server.client(), "boss").await;
    let wish = json!({"name": "viewer", "roles": ["read"]});
    let made = boss.post(TOKENS, wish).await.ok();
    let browser = Chromium::start("en").await;
    sign_in(&browser, &boss).await;
    go(&browser, ("#/tokens", "Tokens")).await;
    browser.wait_for("viewer").await;
    let path = format!("{TOKENS}/{}", text(&made["id"]));
    boss.delete(&path).await.ok();
    // The page lists it still.
    browser.press("End").await;
    submit(&browser).await;
    browser.wait_for("No tool has a token.").await;
    browser.forgive().await;
}

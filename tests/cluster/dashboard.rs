//! The dashboard of several nodes: shards are seen on their way.

use serde_json::json;

use super::{
    nodes::{settled, until},
    shared::{Shared, held_by},
};
use crate::{
    admin::{
        administrator,
        dashboard::{go, judge, shown, sign_in, submit},
    },
    harness::Chromium,
};

/// Presses the button that has a name of its own for who hears it, and says yes.
async fn order(browser: &Chromium, label: &str) {
    let press = "if (document.querySelector('dialog')) return false; const it = [...document.querySelectorAll('button')].find((one) => one.getAttribute('aria-label') === arguments[0]); if (it) it.click(); return Boolean(it)";
    browser.wait_until(press, json!([label])).await;
    submit(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_drained_in_the_browser() {
    let shared = Shared::steady();
    let (one, _two) = (shared.start("n1", false), shared.start("n2", false));
    settled(&one, &["n1", "n2"]).await;
    let boss = administrator(&one.client(), "boss").await;
    let browser = Chromium::start("en").await;
    browser.let_be_busy();
    sign_in(&browser, &boss).await;
    go(&browser, ("#/cluster", "Cluster")).await;
    browser.wait_for("Every shard is where it shall be.").await;
    let unfold = "document.querySelectorAll('details').forEach((one) => { one.open = true; })";
    browser.run(unfold, json!([])).await;
    judge(&browser, "nodes").await;
    order(&browser, "Drain n2").await;
    until(&one, "it keeps its shards", |status| {
        held_by(status, Some("n2")) == 0 && status["moves"] == json!([])
    })
    .await;
    // The page finds that by itself.
    let row = "return [...document.querySelectorAll('tr')].some((row) => arguments[0].every((word) => row.textContent.includes(word)))";
    let drained = json!([["n2", "draining", "rooms 0, users 0, servers 0"]]);
    browser.wait_until(row, drained).await;
    // What was unfolded is still so.
    browser
        .wait_until(
            "return document.querySelectorAll('details[open]').length === 3",
            json!([]),
        )
        .await;
    order(&browser, "Let n2 join").await;
    settled(&one, &["n1", "n2"]).await;
    browser.wait_until(row, json!([["n2", "serving"]])).await;
    shown(&browser, "Cluster").await;
    browser.complaints().await;
}

//! What the dashboard asks the server for, and how it begins where not everything comes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    administrator,
    dashboard::{OWN, PAGE, WIDE, go, judge, shown, sign_in},
};
use crate::{
    client::props::text,
    harness::{Chromium, Options, TestServer},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let nobody = server.client();
    let get = async |path: &str, known: &str| {
        let headers = [("if-none-match", known)];
        nobody
            .with_headers(Method::GET, path, &headers, Vec::new())
            .await
    };
    let page = get("/_playhouse/admin", "").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = String::from_utf8(page.bytes).expect("UTF-8");
    let mut wanted: Vec<String> = html
        .split("\"dashboard/")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    let mut looked_at = 0;
    while let Some(name) = wanted.get(looked_at).cloned() {
        looked_at += 1;
        let path = format!("{PAGE}dashboard/{name}");
        let file = get(&path, "").await;
        assert_eq!(file.status, 200, "{name}");
        assert_eq!(file.header("content-security-policy"), policy);
        assert_eq!(get(&path, file.header("etag")).await.status, 304);
        let script = String::from_utf8(file.bytes).expect("UTF-8");
        let imported = script.split(" from \"./").skip(1);
        let imported = imported.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
        for name in imported {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
    }
    assert!(looked_at > 20, "{wanted:?}");
    get(&format!("{PAGE}dashboard/nothing.js"), "")
        .await
        .refused(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_roles_are_told() {
    let server = TestServer::start().await;
    let boss = administrator(&server.client(), "boss").await;
    let anna = server.register("anna").await;
    let paths = ["whoami", "figures"].map(|name| format!("{OWN}/{name}"));
    for path in &paths {
        anna.get(path).await.refused(403, "M_FORBIDDEN");
        let nobody = anna.nobody();
        nobody.get(path).await.refused(401, "M_MISSING_TOKEN");
    }
    let told = boss.get(&paths[0]).await.ok();
    assert_eq!(told["name"], json!(boss.user_id));
    assert_eq!(told["roles"], json!(["read", "moderate", "operate"]));
    assert_eq!(told["server_name"], "playhouse.test");
    let wish = json!({"name": "mender", "roles": ["moderate"]});
    let made = boss.post(&format!("{OWN}/tokens"), wish).await.ok();
    let mut tool = boss.nobody();
    tool.token = Some(text(&made["token"]));
    let told = tool.get(&paths[0]).await.ok();
    assert_eq!(told["name"], json!(format!("token:{}", text(&made["id"]))));
    assert_eq!(told["roles"], json!(["read", "moderate"]));
    let told = tool.get(&paths[1]).await.ok();
    let figures = told["figures"].as_array().expect("figures");
    let answered = figures.iter().filter(|figure| {
        figure["name"] == "playhouse_http_requests_total" && figure["labels"]["outcome"] == "ok"
    });
    let answered: Vec<&Value> = answered.collect();
    assert_eq!(answered.len(), 1, "{told}");
    assert_eq!(answered[0]["labels"], json!({"outcome": "ok"}));
    assert!(
        answered[0]["value"]
            .as_f64()
            .is_some_and(|value| value > 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_can_be_switched_off() {
    let switched = ("PLAYHOUSE_DASHBOARD_ENABLED", "false");
    let server = TestServer::start_with(Options {
        environment: vec![(switched.0.to_owned(), switched.1.to_owned())],
        ..Options::default()
    })
    .await;
    let boss = administrator(&server.client(), "boss").await;
    for rest in ["", "dashboard/app.js"] {
        let answer = boss.get(&format!("{PAGE}{rest}")).await;
        answer.refused(404, "M_NOT_FOUND");
    }
    boss.get(&format!("{OWN}/whoami")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_does_not_come_says_so() {
    let server = TestServer::start().await;
    let page = format!("{}{PAGE}", server.client().base());
    let browser = Chromium::start("en").await;
    browser.keep_back(&["*dashboard/dom.js"]).await;
    browser.open(&page).await;
    browser.wait_for("load it again").await;
    for scheme in ["light", "dark"] {
        browser.look(WIDE, scheme).await;
        browser.accessible(&format!("beginning, {scheme}")).await;
        let name = format!("dashboard-{scheme}-beginning.png");
        browser.picture(&name).await;
    }
    browser.keep_back(&[]).await;
    browser.press("load it again").await;
    shown(&browser, "Sign in").await;
    let is_gone = "return document.getElementById('beginning') === null";
    browser.wait_until(is_gone, json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_tries_again_by_itself() {
    let server = TestServer::start().await;
    let boss = administrator(&server.client(), "boss").await;
    let browser = Chromium::start("en").await;
    sign_in(&browser, &boss).await;
    browser.keep_back(&["*/v3/users*"]).await;
    // Everything that is shown is kept: it may go by faster than somebody can look who has to wait for the machine.
    let go_there = "const main = document.getElementById('main'); window.told = ''; new MutationObserver(() => { window.told += main.innerText; }).observe(main, {childList: true, subtree: true}); location.hash = '#/users'";
    browser.run(go_there, json!([])).await;
    let told = "return ['The server cannot be reached.', 'It is tried again'].every((text) => window.told.includes(text))";
    browser.wait_until(told, json!([])).await;
    browser.keep_back(&[]).await;
    // It comes by itself, or after too many attempts by a press.
    let again = "[...document.querySelectorAll('button')].find((one) => one.textContent === 'Try again')?.click(); return document.querySelector('table') !== null";
    browser.wait_until(again, json!([])).await;
    shown(&browser, "Users").await;
    browser.forgive().await;
    go(&browser, ("#/audit", "Audit log")).await;
    judge(&browser, "after-trouble").await;
}

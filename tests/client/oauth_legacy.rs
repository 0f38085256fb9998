//! Clients of the older API whose users sign in on this server's own pages.

use serde_json::{Value, json};

use super::{
    browser::{Browser, Shown},
    oauth::WHOAMI,
    sso::{APP, Provider, REDIRECT, log_in, parameter},
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::Client;

const LOGIN: &str = "/_matrix/client/v3/login";

async fn sso_flow(client: &Client) -> Option<Value> {
    let flows = client.get(LOGIN).await.ok()["flows"].clone();
    let flows = flows.as_array().expect("flows").iter();
    let kinds: Vec<_> = flows.clone().map(|flow| &flow["type"]).collect();
    // Clients that know nothing of this go on as before.
    assert!(kinds.contains(&&json!("m.login.password")), "{kinds:?}");
    flows
        .clone()
        .find(|flow| flow["type"] == "m.login.sso")
        .cloned()
}

/// Where `/login/sso/redirect` leads: a page of ours.
async fn begin(browser: &Browser, further: &str) -> Shown {
    let start = format!("{REDIRECT}?redirectUrl={APP}%3Fx%3Dy{further}");
    let led = browser.open(&start).await;
    assert_eq!(led.status, 302, "{}", led.html);
    assert!(led.location.starts_with("/oauth2/sso?"), "{}", led.location);
    browser.open(&led.location).await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_come_by_our_own_pages() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let flow = sso_flow(&anna).await.expect("a flow");
        assert_eq!(
            flow,
            json!({"type": "m.login.sso", "oauth_aware_preferred": true})
        );
        let browser = Browser::new(&anna);
        let page = begin(&browser, "&action=login").await;
        assert!(page.html.contains("name=\"password\""), "{}", page.html);
        let filled = [("user", anna.user_id.as_str()), ("password", "wrong")];
        let wrong = browser.submit(&page, &filled).await;
        assert!(wrong.html.contains("role=\"alert\""), "{}", wrong.html);
        let confirm = browser.sign_in(&wrong, &anna.user_id).await;
        assert!(confirm.html.contains("app.test"), "{}", confirm.html);
        let back = browser.submit(&confirm, &[]).await;
        let token = format!("{APP}?x=y&loginToken=");
        assert!(back.location.starts_with(&token), "{}", back.location);
        assert_eq!(log_in(&anna.nobody(), &back.location).await, anna.user_id);
        let body =
            json!({"type": "m.login.token", "token": parameter(&back.location, "loginToken")});
        anna.nobody()
            .post(LOGIN, body)
            .await
            .refused(403, "M_FORBIDDEN");
        // The browser is known now: it is asked only whether, and as whom.
        let confirm = begin(&browser, "").await;
        assert!(confirm.html.contains(&anna.user_id), "{}", confirm.html);
        let other = "/oauth2/sso?redirectUrl=https://app.test/&action=other";
        let page = browser.open(other).await;
        assert!(page.html.contains("name=\"password\""), "{}", page.html);
        // What was shown to one browser is no word of another.
        let stranger = Browser::new(&anna);
        let answer = stranger.submit(&page, &[]).await;
        assert!(answer.status >= 400, "{}", answer.html);
        let script = "/oauth2/sso?redirectUrl=javascript:alert(1)";
        assert_eq!(stranger.open(script).await.status, 400);
        assert_eq!(stranger.open("/oauth2/sso").await.status, 400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_register_and_trusted_ones_are_not_asked_about() {
    let settings = [("PLAYHOUSE_SSO_CLIENT_WHITELIST", APP)];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let browser = Browser::new(&client);
        let page = begin(&browser, "&action=register").await;
        assert!(page.html.contains("name=\"again\""), "{}", page.html);
        let filled = [
            ("user", "nora"),
            ("password", "correct horse"),
            ("again", "correct horse"),
        ];
        let led = browser.submit(&page, &filled).await;
        assert_eq!(led.status, 303, "{}", led.html);
        let back = browser.open(&led.location).await;
        assert!(back.location.starts_with(APP), "{}", back.html);
        assert_eq!(
            log_in(&client, &back.location).await,
            "@nora:playhouse.test"
        );
        server.set("PLAYHOUSE_OAUTH_LEGACY_LOGIN", "false");
        server.restart();
        let client = client.at(server.base());
        assert_eq!(sso_flow(&client).await, None);
        let browser = Browser::new(&client);
        let start = format!("{REDIRECT}?redirectUrl={APP}&action=login");
        assert_eq!(browser.open(&start).await.status, 404);
        let page = format!("/oauth2/sso?redirectUrl={APP}");
        assert_eq!(browser.open(&page).await.status, 404);
        client.get(WHOAMI).await.refused(401, "M_MISSING_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_stay_where_they_are() {
    let provider = Provider::start().await;
    let providers = provider.settings("");
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let flow = sso_flow(&client).await.expect("a flow");
        assert_eq!(flow["oauth_aware_preferred"], true);
        assert_eq!(flow["identity_providers"][0]["id"], "test");
        let browser = Browser::new(&client);
        let start = browser.open(&format!("{REDIRECT}?redirectUrl={APP}")).await;
        assert!(
            start.location.starts_with(&provider.issuer),
            "{}",
            start.location
        );
        // Clients that know of OAuth come to all ways in, the provider among them.
        let page = begin(&browser, "&action=login").await;
        assert!(page.html.contains("name=\"password\""), "{}", page.html);
        let links = page.html.split("href=\"").skip(1);
        let links = links.filter_map(|link| link.split('"').next());
        let mut links = links.map(|link| link.replace("&#x2f;", "/").replace("&amp;", "&"));
        let link = links.find(|link| link.contains("/login/sso/redirect/test"));
        let link = link.expect("a link to the provider");
        let start = browser.open(&link).await;
        let person = json!({"sub": "1", "preferred_username": "anna"});
        provider.recognise(&parameter(&start.location, "nonce"), person);
        let state = parameter(&start.location, "state");
        let back = format!("/_synapse/client/oidc/callback?code=c&state={state}");
        let back = browser.open(&back).await;
        let path = back.location.strip_prefix(client.base());
        let led = browser.open(path.expect("an address of ours")).await;
        let confirm = browser.open(&led.location).await;
        assert!(
            confirm.html.contains("@anna:playhouse.test"),
            "{}",
            confirm.html
        );
        let back = browser.submit(&confirm, &[]).await;
        assert_eq!(
            log_in(&client, &back.location).await,
            "@anna:playhouse.test"
        );
    })
    .await;
}

//! The OAuth 2.0 API: clients register, users sign in by their browser, tokens come and go.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    browser::Browser,
    props::text,
    stage::{fresh, on_each_engine, on_own_servers},
};
use crate::harness::{
    Client,
    client::{Answer, encode},
};

const METADATA: &str = "/_matrix/client/v1/auth_metadata";
pub(super) const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const CALLBACK: &str = "https://app.example.com/callback";
const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-one-0123456789";
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn challenge() -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

pub(crate) fn scope(device_id: &str) -> String {
    format!("urn:matrix:client:api:* urn:matrix:client:device:{device_id}")
}

pub(super) async fn register(client: &Client) -> String {
    let body = json!({
        "client_name": "Test App", "client_uri": "https://example.com/", "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE], "response_types": ["code"],
        "token_endpoint_auth_method": "none", "application_type": "web",
    });
    let answer = client.post("/oauth2/registration", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    text(&answer.body["client_id"])
}

pub(crate) async fn post_form(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    let body = pairs.collect::<Vec<_>>().join("&").into_bytes();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    client
        .nobody()
        .with_headers(Method::POST, path, &headers, body)
        .await
}

#[track_caller]
pub(super) fn refused(answer: &Answer, status: u16, error: &str) {
    let told = (answer.status, answer.body["error"].as_str());
    assert_eq!(told, (status, Some(error)), "{}", answer.body);
}

fn authorize(client_id: &str, device_id: &str, further: &str) -> String {
    format!(
        "/oauth2/authorize?response_type=code&client_id={client_id}&redirect_uri={}&scope={}&state=a%20state&code_challenge={}&code_challenge_method=S256{further}",
        encode(CALLBACK),
        encode(&scope(device_id)),
        challenge()
    )
}

/// A parameter of an address.
fn told(location: &str, name: &str) -> Option<String> {
    let (_, query) = location.split_once(['?', '#'])?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    Some(value.replace('+', " "))
}

async fn exchange(client: &Client, client_id: &str, code: &str) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    post_form(client, "/oauth2/token", &fields).await
}

/// Signs in by a browser and gives the tokens.
pub(crate) async fn log_in(user: &Client, browser: &Browser, device_id: &str) -> (String, Value) {
    let client_id = register(user).await;
    let page = browser.open(&authorize(&client_id, device_id, "")).await;
    let consent = if page.html.contains("name=\"password\"") {
        browser.sign_in(&page, &user.user_id).await
    } else {
        page
    };
    assert!(consent.html.contains("Test App"), "{}", consent.html);
    let back = browser.submit(&consent, &[("decision", "allow")]).await;
    let code = told(&back.location, "code").unwrap_or_else(|| panic!("{}", back.location));
    (
        client_id.clone(),
        exchange(user, &client_id, &code).await.ok(),
    )
}

pub(crate) fn with_token(user: &Client, tokens: &Value) -> Client {
    let mut client = user.clone();
    client.token = Some(text(&tokens["access_token"]));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_of_itself() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let metadata = client.get(METADATA).await.ok();
        let base = client.base();
        assert_eq!(metadata["issuer"], format!("{base}/"));
        assert_eq!(metadata["token_endpoint"], format!("{base}/oauth2/token"));
        assert_eq!(
            metadata["code_challenge_methods_supported"],
            json!(["S256"])
        );
        for same in [
            "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
            "/.well-known/openid-configuration",
        ] {
            assert_eq!(client.get(same).await.ok(), metadata);
        }
        let issuer = "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer";
        assert_eq!(client.get(issuer).await.ok()["issuer"], metadata["issuer"]);
        assert_eq!(
            client.get("/oauth2/keys.json").await.ok()["keys"],
            json!([])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off() {
    on_own_servers(&[("PLAYHOUSE_OAUTH_ENABLED", "false")], async |server| {
        let client = server.client();
        client.get(METADATA).await.refused(404, "M_UNRECOGNIZED");
        client
            .post("/oauth2/registration", json!({}))
            .await
            .refused(404, "M_UNRECOGNIZED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_register_once_for_the_same_words() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let client_id = register(&client).await;
        assert_eq!(register(&client).await, client_id);
        let bad =
            json!({"client_uri": "https://example.com/", "redirect_uris": ["https://evil.test/"]});
        let answer = client.post("/oauth2/registration", bad).await;
        refused(&answer, 400, "invalid_redirect_uri");
        let answer = client.post("/oauth2/registration", json!({})).await;
        refused(&answer, 400, "invalid_client_metadata");
    })
    .await;
}

/// A browser in which somebody has signed in is asked for consent only; this time it is denied.
async fn known_browser(browser: &Browser, client_id: &str) {
    let consent = browser.open(&authorize(client_id, "DEVICE1234", "")).await;
    let back = browser.submit(&consent, &[("decision", "deny")]).await;
    let location = &back.location;
    assert!(location.starts_with(&format!("{CALLBACK}?")), "{location}");
    assert_eq!(told(location, "error").as_deref(), Some("access_denied"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_lets_a_client_in() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let client_id = register(&anna).await;
        let browser = Browser::new(&anna);
        let page = browser
            .open(&authorize(
                &client_id,
                "DEVICE1234",
                "&response_mode=fragment",
            ))
            .await;
        let wrong = browser
            .submit(&page, &[("user", &anna.user_id), ("password", "wrong")])
            .await;
        assert_eq!(wrong.status, 200);
        assert!(wrong.html.contains("role=\"alert\""), "{}", wrong.html);
        let consent = browser.sign_in(&wrong, &anna.user_id).await;
        let forged = Browser::new(&anna)
            .submit(&consent, &[("decision", "allow")])
            .await;
        assert_eq!(forged.status, 403);
        let back = browser.submit(&consent, &[("decision", "allow")]).await;
        assert_eq!(back.status, 303, "{}", back.html);
        assert!(
            back.location.starts_with(&format!("{CALLBACK}#")),
            "{}",
            back.location
        );
        assert_eq!(told(&back.location, "state").as_deref(), Some("a state"));
        let code = told(&back.location, "code").expect("a code");
        let wrong = [
            ("grant_type", "authorization_code"),
            ("client_id", client_id.as_str()),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", "another"),
        ];
        refused(
            &post_form(&anna, "/oauth2/token", &wrong).await,
            400,
            "invalid_grant",
        );
        let tokens = exchange(&anna, &client_id, &code).await.ok();
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["scope"], scope("DEVICE1234"));
        let phone = with_token(&anna, &tokens);
        let whoami = phone.get(WHOAMI).await.ok();
        assert_eq!(
            (&whoami["user_id"], &whoami["device_id"]),
            (&json!(anna.user_id), &json!("DEVICE1234"))
        );
        let userinfo = phone.get("/oauth2/userinfo").await.ok();
        assert_eq!(userinfo["sub"], *anna.user_id);
        // The code a second time: somebody else has it too.
        refused(
            &exchange(&anna, &client_id, &code).await,
            400,
            "invalid_grant",
        );
        phone.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        known_browser(&browser, &client_id).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_told_to_the_client_or_to_nobody() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let client_id = register(&anna).await;
        let browser = Browser::new(&anna);
        let good = authorize(&client_id, "DEVICE1234", "");
        for (from, to, error) in [
            ("S256", "plain", "invalid_request"),
            (
                "response_type=code",
                "response_type=token",
                "unsupported_response_type",
            ),
            ("api", "nothing", "invalid_scope"),
            ("state=", "prompt=none&state=", "login_required"),
        ] {
            let shown = browser.open(&good.replace(from, to)).await;
            assert_eq!(
                told(&shown.location, "error").as_deref(),
                Some(error),
                "{to}"
            );
        }
        for bad in [
            good.replace("app.example.com", "evil.test"),
            good.replace(&client_id, "unknown"),
        ] {
            let shown = browser.open(&bad).await;
            assert_eq!((shown.status, shown.location.as_str()), (400, ""), "{bad}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_refreshed_and_revoked() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let (client_id, tokens) = log_in(&anna, &Browser::new(&anna), "DEVICE1234").await;
        let refresh = async |client_id: &str, token: &Value| {
            let fields = [
                ("grant_type", "refresh_token"),
                ("client_id", client_id),
                ("refresh_token", token.as_str().unwrap_or_default()),
            ];
            post_form(&anna, "/oauth2/token", &fields).await
        };
        refused(
            &refresh("another", &tokens["refresh_token"]).await,
            400,
            "invalid_grant",
        );
        let newer = refresh(&client_id, &tokens["refresh_token"]).await.ok();
        assert_eq!(newer["scope"], scope("DEVICE1234"));
        with_token(&anna, &newer).get(WHOAMI).await.ok();
        refused(
            &refresh(&client_id, &tokens["refresh_token"]).await,
            400,
            "invalid_grant",
        );
        let newest = refresh(&client_id, &newer["refresh_token"]).await.ok();
        let token = newest["refresh_token"].as_str().expect("a token");
        for _ in 0..2 {
            let revoked = post_form(&anna, "/oauth2/revoke", &[("token", token)]).await;
            assert_eq!(revoked.status, 200);
        }
        with_token(&anna, &newest)
            .get(WHOAMI)
            .await
            .refused(401, "M_UNKNOWN_TOKEN");
        anna.get("/_matrix/client/v3/devices/DEVICE1234")
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_registers_on_the_way() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let client_id = register(&client).await;
        let browser = Browser::new(&client);
        let page = browser
            .open(&authorize(&client_id, "DEVICE1234", "&prompt=create"))
            .await;
        let name = fresh("nora");
        let filled = |again| {
            [
                ("user", name.as_str()),
                ("password", "correct horse"),
                ("again", again),
            ]
        };
        let wrong = browser.submit(&page, &filled("other")).await;
        assert!(wrong.html.contains("role=\"alert\""), "{}", wrong.html);
        let led = browser.submit(&wrong, &filled("correct horse")).await;
        let consent = browser.open(&led.location).await;
        let back = browser.submit(&consent, &[("decision", "allow")]).await;
        let code = told(&back.location, "code").expect("a code");
        let tokens = exchange(&client, &client_id, &code).await.ok();
        let whoami = with_token(&client, &tokens).get(WHOAMI).await.ok();
        assert_eq!(whoami["user_id"], format!("@{name}:playhouse.test"));
    })
    .await;
}

//! Pages for people: policies, stages of authentication, logging in.

use serde_json::json;

use super::stage::{fresh, on_each_engine};
use crate::harness::{Client, Double, Options, TestServer};

const POLICIES: &str = r#"[{ id = "privacy", version = "1.2", texts = { en = { name = "Privacy", url = "https://example.org/en" }, de = { name = "Datenschutz", url = "https://example.org/de" } } }]"#;

/// A server with policies and captchas.
async fn server() -> TestServer {
    let captcha = Double::start(|asked| {
        let solved = asked.body.contains("response=solved") && asked.body.contains("secret=hidden");
        (200, json!({"success": solved}))
    })
    .await;
    let verify = format!("{}/siteverify", captcha.base());
    let environment = [
        ("PLAYHOUSE_CONSENT_POLICIES", POLICIES),
        ("PLAYHOUSE_CAPTCHA_SITE_KEY", "shown"),
        ("PLAYHOUSE_CAPTCHA_SECRET_KEY", "hidden"),
        ("PLAYHOUSE_CAPTCHA_VERIFY_URL", &verify),
    ];
    TestServer::start_with(Options {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Options::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_are_passed_on_pages() {
    let server = server().await;
    let client = server.client();
    let path = "/_matrix/client/v3/register";
    let asked = client.post(path, json!({})).await;
    assert_eq!(asked.status, 401);
    assert_eq!(
        asked.body["flows"],
        json!([{"stages": ["m.login.recaptcha", "m.login.terms"]}])
    );
    assert_eq!(
        asked.body["params"]["m.login.recaptcha"]["public_key"],
        "shown"
    );
    let policy = &asked.body["params"]["m.login.terms"]["policies"]["privacy"];
    assert_eq!(policy["version"], "1.2");
    assert_eq!(
        policy["de"],
        json!({"name": "Datenschutz", "url": "https://example.org/de"})
    );
    let session = asked.body["session"].as_str().expect("a session");

    let page =
        |stage: &str| format!("/_matrix/client/v3/auth/{stage}/fallback/web?session={session}");
    let shown = client.open(&page("m.login.recaptcha"), "en").await;
    assert!(
        shown.html.contains("data-sitekey=\"shown\""),
        "{}",
        shown.html
    );
    let failed = shown
        .send(&client, &[("g-recaptcha-response", "guessed")])
        .await;
    assert_eq!(failed.status, 401);
    assert!(failed.html.contains("role=\"alert\""), "{}", failed.html);
    let done = failed
        .send(&client, &[("g-recaptcha-response", "solved")])
        .await;
    assert!(done.html.contains("onAuthDone"), "{}", done.html);

    let shown = client.open(&page("m.login.terms"), "de").await;
    assert!(
        shown.html.contains("https://example.org/de"),
        "{}",
        shown.html
    );
    assert_eq!(shown.send(&client, &[]).await.status, 401);
    let acknowledged = client
        .post(path, json!({"auth": {"session": session}}))
        .await;
    assert_eq!(acknowledged.body["completed"], json!(["m.login.recaptcha"]));
    let done = shown.send(&client, &[("accept", "yes")]).await;
    assert!(done.html.contains("onAuthDone"), "{}", done.html);
    let body = json!({"username": fresh("web"), "password": "correct horse", "auth": {"session": session}});
    client.post(path, body).await.ok();

    for stage in ["m.login.terms", "m.login.password"] {
        assert_eq!(client.open(&page(stage), "en").await.status, 404);
    }
    stages_are_passed_by_the_client(&client).await;
    let consent = client.open("/_matrix/consent", "fr").await;
    assert!(consent.html.contains("Privacy (1.2)"), "{}", consent.html);
}

async fn stages_are_passed_by_the_client(client: &Client) {
    let path = "/_matrix/client/v3/register";
    let asked = client.post(path, json!({})).await;
    let session = asked.body["session"].as_str().expect("a session");
    let solved =
        json!({"auth": {"type": "m.login.recaptcha", "response": "solved", "session": session}});
    client.post(path, solved).await;
    let body = json!({
        "username": fresh("web"), "password": "correct horse",
        "auth": {"type": "m.login.terms", "session": session}
    });
    client.post(path, body).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_well_dressed() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let page = client
            .open("/_matrix/static/client/login/", "de, en;q=0.5")
            .await;
        assert_eq!(page.status, 200);
        assert!(page.html.contains("<html lang=\"de\">"), "{}", page.html);
        assert!(page.html.contains("onLogin"), "{}", page.html);
        let policy = page.answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-language", "de"),
        ] {
            assert_eq!(page.answer.header(name), value, "{name}");
        }
        let none = client.open("/_matrix/consent", "en").await;
        assert_eq!(none.status, 404);
        assert!(none.html.contains("no policies"), "{}", none.html);
        let none = client
            .open(
                "/_matrix/client/r0/auth/m.login.terms/fallback/web?session=x",
                "en",
            )
            .await;
        assert_eq!(none.status, 404);
        let welcome = client.open("/", "en").await;
        assert!(welcome.html.contains("playhouse.test"), "{}", welcome.html);
    })
    .await;
}

//! People and our pages, in a real browser: accounts are made, found again, looked after. Pictures of all pages stay in `target/screenshots`.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    client::{
        oauth::{post_form, scope},
        sso::Provider,
    },
    harness::{
        Chromium, Client, MailSink, Options, TestServer,
        client::encode,
        web::{Reply, Web},
    },
};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const POLICIES: &str = r#"[{ id = "privacy", version = "1.2", texts = { en = { name = "Privacy policy", url = "https://example.org/en" }, de = { name = "Datenschutzerklärung", url = "https://example.org/de" } } }]"#;
const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-one-0123456789";

async fn server(environment: &[(&str, &str)]) -> TestServer {
    let environment = environment.iter();
    TestServer::start_with(Options {
        environment: environment
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Options::default()
    })
    .await
}

/// A server that wants a token and the policies accepted, with a token that is good for so many accounts.
async fn guarded_server(uses: &str) -> TestServer {
    let mut server = server(&[
        ("PLAYHOUSE_REGISTRATION_TOKEN_REQUIRED", "true"),
        ("PLAYHOUSE_CONSENT_POLICIES", POLICIES),
    ])
    .await;
    server.stop();
    let (made, said) = server.command_line(&["token", "add", "OPENSESAME", "--uses", uses]);
    assert!(made, "{said}");
    server.start_again();
    server
}

/// Somebody's program, to which browsers come back.
async fn program() -> Web {
    let page = "<!doctype html><html lang=en><link rel=icon href=data:,><title>Program</title><p>Back in the program";
    Web::start("127.0.0.1", move |_| Reply::page(page)).await
}

/// A parameter of an address.
fn parameter(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').expect("a query");
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(known, _)| *known == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {url}"))
        .1
        .to_owned()
}

async fn oauth_client(client: &Client) -> String {
    let body = json!({
        "client_name": "Test App", "client_uri": "https://example.com/", "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token", crate::client::oauth::DEVICE_CODE], "response_types": ["code"],
        "token_endpoint_auth_method": "none", "application_type": "native",
    });
    let made = client.post("/oauth2/registration", body).await.ok();
    made["client_id"].as_str().expect("a client").to_owned()
}

/// The session that a token belongs to.
async fn whose(client: &Client, token: &Value) -> Value {
    let mut client = client.nobody();
    client.token = Some(token.as_str().expect("a token").to_owned());
    client.get(WHOAMI).await.ok()
}

/// A login by password: its status.
async fn login(client: &Client, user: &str, password: &str) -> u16 {
    let body = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password});
    client.post("/_matrix/client/v3/login", body).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_made_with_a_token_and_policies() {
    let (server, program) = (guarded_server("1").await, program().await);
    let client = server.client();
    let client_id = oauth_client(&client).await;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
    let callback = format!("{}/callback", program.base());
    let browser = Chromium::start("en").await;
    browser
        .open(&format!(
            "{}/oauth2/authorize?response_type=code&client_id={client_id}&redirect_uri={}&scope={}&state=s&prompt=create&code_challenge={}&code_challenge_method=S256",
            client.base(),
            encode(&callback),
            encode(&scope("PHONE")),
            URL_SAFE_NO_PAD.encode(digest),
        ))
        .await;
    browser.wait_for("A new account").await;
    browser.inspect("sign-up").await;
    for (token, again) in [
        ("GUESSED", "secret words"),
        ("OPENSESAME", "other words"),
        ("OPENSESAME", "secret words"),
    ] {
        browser.type_into("User name", "nora").await;
        browser.type_into("Password", "secret words").await;
        browser.type_into("Password again", again).await;
        browser.type_into("Registration token", token).await;
        browser.tick("I have read this and accept it").await;
        browser.press("Make the account").await;
        if token == "GUESSED" {
            browser
                .wait_for("This registration token is not valid.")
                .await;
            browser.inspect("sign-up-refused").await;
        } else if again == "other words" {
            browser
                .wait_for("The two passwords are not the same.")
                .await;
        }
    }
    browser.wait_for("Let this program in?").await;
    browser.inspect("consent").await;
    browser.press("Allow").await;
    let back = browser.wait_until_at(&callback).await;
    browser.wait_for("Back in the program").await;
    browser.complaints().await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id.as_str()),
        ("code", &parameter(&back, "code")),
        ("redirect_uri", &callback),
        ("code_verifier", VERIFIER),
    ];
    let tokens = post_form(&client, "/oauth2/token", &fields).await.ok();
    let whoami = whose(&client, &tokens["access_token"]).await;
    assert_eq!(
        whoami,
        json!({"user_id": "@nora:playhouse.test", "device_id": "PHONE"})
    );
    let validity =
        "/_matrix/client/v1/register/m.login.registration_token/validity?token=OPENSESAME";
    assert_eq!(client.get(validity).await.ok()["valid"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_are_passed_on_pages_in_german() {
    let server = guarded_server("1").await;
    let client = server.client();
    let register = "/_matrix/client/v3/register";
    let asked = client.post(register, json!({})).await;
    let session = asked.body["session"].as_str().expect("a session");
    let page = |stage: &str| {
        format!(
            "{}/_matrix/client/v3/auth/{stage}/fallback/web?session={session}",
            client.base()
        )
    };
    let browser = Chromium::start("de").await;
    browser.open(&page("m.login.registration_token")).await;
    browser.wait_for("Registrierungscode").await;
    browser.inspect("stage-token").await;
    browser.type_into("Code", "OPENSESAME").await;
    browser.press("Weiter").await;
    browser.wait_for("Danke").await;
    browser.inspect("stage-done").await;
    browser.open(&page("m.login.terms")).await;
    browser.wait_for("Datenschutzerklärung").await;
    browser.inspect("stage-terms").await;
    browser.tick("Ich habe dies gelesen und stimme zu").await;
    browser.press("Weiter").await;
    browser.wait_for("Danke").await;
    let body =
        json!({"username": "nora", "password": "secret words", "auth": {"session": session}});
    let made = client.post(register, body).await.ok();
    assert_eq!(made["user_id"], "@nora:playhouse.test");
    browser
        .open(&format!(
            "{}/_matrix/client/v3/auth/m.login.terms/fallback/web?session=unknown",
            client.base()
        ))
        .await;
    browser.wait_for("Das hat nicht geklappt").await;
    browser
        .open(&format!("{}/_matrix/static/client/login/", client.base()))
        .await;
    browser.wait_for("Anmelden").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_system_recognises_a_person() {
    let (provider, program) = (Provider::start().await, program().await);
    let server = server(&[("PLAYHOUSE_SSO_PROVIDERS", &provider.settings(""))]).await;
    let client = server.client();
    let app = format!("{}/app", program.base());
    let start = format!(
        "{}/_matrix/client/v3/login/sso/redirect?redirectUrl={}",
        client.base(),
        encode(&app)
    );
    // The second is another person of that name, who has to pick one, once.
    for (subject, user, picks) in [
        ("1", "@nora:playhouse.test", false),
        ("2", "@nora2:playhouse.test", true),
        ("2", "@nora2:playhouse.test", false),
    ] {
        provider.recognise("", json!({"sub": subject, "preferred_username": "nora"}));
        let browser = Chromium::start("en").await;
        browser.open(&start).await;
        browser.press("It is me").await;
        browser.wait_until_at(client.base()).await;
        if picks {
            browser.wait_for("Pick a user name").await;
            browser.inspect("sso-username").await;
            browser.type_into("User name", "nora").await;
            browser.press("Continue").await;
            browser.wait_for("This user name is taken.").await;
            browser.type_into("User name", "nora2").await;
            browser.press("Continue").await;
        }
        browser.wait_for("Go on to your program?").await;
        browser.inspect("sso-confirm").await;
        browser.press("Continue").await;
        let back = browser.wait_until_at(&app).await;
        browser.complaints().await;
        let body = json!({"type": "m.login.token", "token": parameter(&back, "loginToken")});
        let session = client.post("/_matrix/client/v3/login", body).await.ok();
        assert_eq!(session["user_id"], user);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_reset_by_mail() {
    let sink = MailSink::start().await;
    let environment = sink.environment();
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let server = server(&environment).await;
    let nora = server.register("nora").await;
    let browser = Chromium::start("en").await;
    let creds = confirm(&browser, &nora, (&sink, "account/3pid")).await;
    let mut body = creds;
    body["auth"] = json!({"type": "m.login.password", "password": "correct horse", "identifier": {"type": "m.id.user", "user": nora.user_id}});
    nora.post("/_matrix/client/v3/account/3pid/add", body)
        .await
        .ok();

    let nobody = nora.nobody();
    let creds = confirm(&browser, &nobody, (&sink, "account/password")).await;
    let auth = json!({"type": "m.login.email.identity", "threepid_creds": creds});
    let body = json!({"new_password": "another horse", "auth": auth});
    nobody
        .post("/_matrix/client/v3/account/password", body)
        .await
        .ok();
    assert_eq!(login(&nobody, "nora", "correct horse").await, 403);

    browser
        .open(&format!("{}/oauth2/account", nora.base()))
        .await;
    browser.type_into("User name", "nora").await;
    browser.type_into("Password", "correct horse").await;
    browser.press("Sign in").await;
    browser.wait_for("Wrong user name or password.").await;
    browser.inspect("sign-in-refused").await;
    browser.type_into("Password", "another horse").await;
    browser.press("Sign in").await;
    browser.wait_for("@nora:playhouse.test").await;
    browser.complaints().await;
}

/// Has a mail sent and follows its link.
async fn confirm(browser: &Chromium, client: &Client, (sink, purpose): (&MailSink, &str)) -> Value {
    let address = "nora@example.org";
    let before = sink.count(address);
    let path = format!("/_matrix/client/v3/{purpose}/email/requestToken");
    let body = json!({"client_secret": "s3cret", "email": address, "send_attempt": 1});
    let sid = client.post(&path, body).await.ok()["sid"].clone();
    let mail = sink.mail(address, before + 1).await;
    browser
        .open(&format!("{}{}", client.base(), mail.link()))
        .await;
    browser.wait_for("Confirm your address").await;
    browser.inspect("mail-confirm").await;
    browser.press("Confirm").await;
    browser.wait_for("Address confirmed").await;
    browser.inspect("mail-confirmed").await;
    json!({"sid": sid, "client_secret": "s3cret"})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_looked_after_in_german() {
    let server = server(&[]).await;
    let nora = server.register("nora").await;
    let lost = nora.login_again().await;
    let browser = Chromium::start("de").await;
    browser
        .open(&format!("{}/oauth2/account", nora.base()))
        .await;
    browser.wait_for("Benutzername").await;
    browser.inspect("sign-in").await;
    browser.type_into("Benutzername", "nora").await;
    browser.type_into("Passwort", "correct horse").await;
    browser.press("Anmelden").await;
    browser.wait_for("Dein Konto").await;
    browser
        .type_into("Name", "Nora <N> mit einem recht langen Namen")
        .await;
    browser.press("Speichern").await;
    browser.wait_for("Gespeichert.").await;
    browser.inspect("account").await;
    browser.press("Deine Geräte").await;
    browser.wait_for(&lost.device_id).await;
    browser.inspect("account-devices").await;
    browser.press(&lost.device_id).await;
    browser.wait_for("Dieses Gerät abmelden").await;
    browser.inspect("account-device").await;
    browser.press("Dieses Gerät abmelden").await;
    browser.wait_for("Deine Geräte").await;
    // Those words stand on the page before, too.
    let end = Instant::now() + Duration::from_secs(120);
    while lost.get(WHOAMI).await.status == 200 {
        assert!(Instant::now() < end, "the device stays logged in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lost.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
    nora.get(WHOAMI).await.ok();
    browser.press("Schlüssel ersetzen").await;
    browser.wait_for("Wer dich überprüft hat").await;
    browser.inspect("account-keys").await;
    browser.press("Konto schließen").await;
    browser.wait_for("Das Konto für immer schließen").await;
    browser.inspect("account-close").await;
    browser.press("In diesem Browser abmelden").await;
    browser.wait_for("Benutzername").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_a_browser_is_let_in_german() {
    let server = server(&[]).await;
    let nora = server.register("nora").await;
    let client_id = oauth_client(&nora).await;
    let wish = [
        ("client_id", client_id.as_str()),
        ("scope", &scope("TELEVISION")),
    ];
    let codes = post_form(&nora, "/oauth2/device", &wish).await.ok();
    let browser = Chromium::start("de").await;
    browser
        .open(codes["verification_uri"].as_str().expect("an address"))
        .await;
    browser.type_into("Benutzername", "nora").await;
    browser.type_into("Passwort", "correct horse").await;
    browser.press("Anmelden").await;
    browser.wait_for("Ein Gerät zulassen").await;
    browser.inspect("link-code").await;
    browser.type_into("Code", "WRONG").await;
    browser.press("Weiter").await;
    browser.wait_for("Dieser Code ist unbekannt").await;
    browser
        .type_into("Code", codes["user_code"].as_str().expect("a code"))
        .await;
    browser.press("Weiter").await;
    browser.wait_for("TELEVISION").await;
    browser.inspect("link-confirm").await;
    browser.press("Erlauben").await;
    browser
        .wait_for("Du kannst zu deinem Gerät zurückkehren.")
        .await;
    browser.inspect("link-done").await;
    let fields = [
        ("grant_type", crate::client::oauth::DEVICE_CODE),
        ("client_id", client_id.as_str()),
        (
            "device_code",
            codes["device_code"].as_str().expect("a code"),
        ),
    ];
    let tokens = post_form(&nora, "/oauth2/token", &fields).await.ok();
    assert_eq!(
        whose(&nora, &tokens["access_token"]).await["device_id"],
        "TELEVISION"
    );
}

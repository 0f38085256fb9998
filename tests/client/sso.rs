//! Single sign-on by OpenID Connect, with a provider of our own.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    browser::{Browser, Shown},
    stage::on_own_servers,
};
use crate::harness::Client;

pub(super) const REDIRECT: &str = "/_matrix/client/v3/login/sso/redirect";
pub(super) const APP: &str = "https://app.test/";
pub(super) const PICK: &str = "/_synapse/client/pick_username/account_details";

/// A provider that recognises everybody as whom it is told to.
pub(crate) struct Provider {
    pub(super) issuer: String,
    claims: Arc<Mutex<Value>>,
    key: Arc<EcdsaKeyPair>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let issuer = format!("http://{address}");
        let claims = Arc::new(Mutex::new(json!({})));
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let key = Arc::new(key);
        let provider = Self {
            issuer: issuer.clone(),
            claims: claims.clone(),
            key: key.clone(),
        };
        let (told, name) = (claims, issuer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, name, key) = (told.clone(), name.clone(), key.clone());
                tokio::spawn(async move { serve(stream, &name, &told, &key).await });
            }
        });
        provider
    }

    /// A token with these claims.
    pub(super) fn signed(&self, claims: &Value) -> String {
        sign(&self.key, claims)
    }

    /// From now on it recognises everybody as this person; `further` claims are added.
    pub(crate) fn recognise(&self, nonce: &str, further: Value) {
        let mut claims = json!({"iss": self.issuer, "aud": "playhouse", "exp": 4_000_000_000u64, "nonce": nonce});
        let further = further.as_object().expect("an object").clone();
        claims.as_object_mut().expect("an object").extend(further);
        *self.claims.lock().expect("nobody panicked") = claims;
    }

    pub(crate) fn settings(&self, further: &str) -> String {
        format!(
            "[{{ id = \"test\", name = \"Test\", issuer = \"{}\", client_id = \"playhouse\", client_secret = \"secret\"{further} }}]",
            self.issuer
        )
    }
}

async fn serve(mut stream: TcpStream, issuer: &str, claims: &Mutex<Value>, key: &EcdsaKeyPair) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path.starts_with("/authorize?") {
        let page = login_page(path, claims);
        return answer(&mut stream, "text/html", &page).await;
    }
    let body = match path {
        "/.well-known/openid-configuration" => json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
        }),
        "/keys" => {
            let point = key.public_key().as_ref();
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": text(&point[1..33]), "y": text(&point[33..])}]})
        }
        "/token" => {
            assert!(
                request.contains("code_verifier=")
                    && request.to_lowercase().contains("authorization: basic ")
            );
            let token = sign(key, &claims.lock().expect("nobody panicked"));
            json!({"id_token": token, "access_token": "a", "token_type": "Bearer"})
        }
        _ => json!({}),
    };
    answer(&mut stream, "application/json", &body.to_string()).await;
}

async fn answer(stream: &mut TcpStream, kind: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// What a person sees at the provider: one link that leads back as whom the provider recognises.
fn login_page(path: &str, claims: &Mutex<Value>) -> String {
    claims.lock().expect("nobody panicked")["nonce"] = parameter(path, "nonce").into();
    let back = parameter(path, "redirect_uri")
        .replace("%3A", ":")
        .replace("%2F", "/");
    let state = parameter(path, "state");
    format!(
        "<!doctype html><link rel=icon href=data:,><a href=\"{back}?code=c&amp;state={state}\">It is me</a>"
    )
}

fn sign(key: &EcdsaKeyPair, claims: &Value) -> String {
    let private = key.to_pkcs8v1().expect("a key can be written");
    let signer = jsonwebtoken::EncodingKey::from_ec_der(private.as_ref());
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.kid = Some("k".to_owned());
    jsonwebtoken::encode(&header, claims, &signer).expect("signed")
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.trim().parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

pub(super) fn parameter(address: &str, name: &str) -> String {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(known, _)| *known == name);
    found.map_or(String::new(), |(_, value)| value.to_owned())
}

/// Goes to the provider and comes back as somebody.
pub(super) async fn come_back(
    browser: &Browser,
    provider: &Provider,
    person: Value,
    client: &str,
) -> Shown {
    let start = browser
        .open(&format!("{REDIRECT}/test?redirectUrl={client}"))
        .await;
    assert_eq!(start.status, 302, "{}", start.html);
    assert!(
        start
            .location
            .starts_with(&format!("{}/authorize?", provider.issuer))
    );
    assert_eq!(parameter(&start.location, "code_challenge_method"), "S256");
    provider.recognise(&parameter(&start.location, "nonce"), person);
    let state = parameter(&start.location, "state");
    let back = format!("/_synapse/client/oidc/callback?code=c&state={state}");
    browser.open(&back).await
}

pub(super) async fn log_in(client: &Client, location: &str) -> String {
    let token = parameter(location, "loginToken");
    let body = json!({"type": "m.login.token", "token": token});
    let session = client.post("/_matrix/client/v3/login", body).await.ok();
    session["user_id"].as_str().expect("a user").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_recognised_gets_a_login_token() {
    let provider = Provider::start().await;
    let providers = provider.settings("");
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let flows = client.get("/_matrix/client/v3/login").await.ok();
        let flows = flows["flows"].as_array().expect("flows").clone();
        let sso = flows.iter().find(|flow| flow["type"] == "m.login.sso");
        assert_eq!(sso.expect("a flow")["identity_providers"][0]["id"], "test");
        let person =
            json!({"sub": "4711", "preferred_username": "Nora@id.test", "name": "Nora N."});
        for _ in 0..2 {
            let browser = Browser::new(&client);
            let confirm = come_back(&browser, &provider, person.clone(), APP).await;
            assert!(confirm.html.contains("app.test"), "{}", confirm.html);
            let back = browser.submit(&confirm, &[]).await;
            assert!(back.location.starts_with(APP), "{}", back.location);
            assert_eq!(
                log_in(&client, &back.location).await,
                "@nora:playhouse.test"
            );
        }
        let profile = client
            .get("/_matrix/client/v3/profile/@nora:playhouse.test")
            .await
            .ok();
        assert_eq!(profile["displayname"], "Nora N.");
        // Another person of the same name picks another name.
        let browser = Browser::new(&client);
        let other = json!({"sub": "4712", "preferred_username": "nora"});
        let led = come_back(&browser, &provider, other, APP).await;
        let page = browser.open(&led.location).await;
        let free = "/_synapse/client/pick_username/check?username=";
        let stranger = client.get(&format!("{free}nora")).await;
        stranger.refused(400, "M_INVALID_PARAM");
        assert!(
            browser
                .open(&format!("{free}nora"))
                .await
                .html
                .contains("false")
        );
        assert!(
            browser
                .open(&format!("{free}nora2"))
                .await
                .html
                .contains("true")
        );
        let taken = browser.submit(&page, &[("username", "nora")]).await;
        assert!(taken.html.contains("role=\"alert\""), "{}", taken.html);
        let confirm = browser.submit(&taken, &[("username", "nora2")]).await;
        let back = browser.submit(&confirm, &[]).await;
        assert_eq!(
            log_in(&client, &back.location).await,
            "@nora2:playhouse.test"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_for_us_is_nobody() {
    let provider = Provider::start().await;
    let providers = provider.settings("");
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        for wrong in [
            json!({"sub": "1", "preferred_username": "eve", "aud": "another"}),
            json!({"sub": "1", "preferred_username": "eve", "iss": "https://another.test"}),
            json!({"sub": "1", "preferred_username": "eve", "exp": 1_000}),
            json!({"sub": "1", "preferred_username": "eve", "nonce": "another"}),
            json!({"preferred_username": "eve"}),
        ] {
            let browser = Browser::new(&client);
            let shown = come_back(&browser, &provider, wrong.clone(), APP).await;
            assert_eq!(
                (shown.status, shown.location.as_str()),
                (502, ""),
                "{wrong}"
            );
        }
        // Begun in another browser.
        let shown = Browser::new(&client)
            .open("/_synapse/client/oidc/callback?code=c&state=s")
            .await;
        assert_eq!(shown.status, 400);
        let unknown = Browser::new(&client)
            .open(&format!("{REDIRECT}/other?redirectUrl={APP}"))
            .await;
        assert_eq!(unknown.status, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_can_be_linked_and_clients_trusted() {
    let provider = Provider::start().await;
    let providers = provider.settings(", allow_existing_users = true");
    let settings = [
        ("PLAYHOUSE_SSO_PROVIDERS", providers.as_str()),
        ("PLAYHOUSE_SSO_CLIENT_WHITELIST", APP),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let person = json!({"sub": "1", "preferred_username": "anna"});
        let browser = Browser::new(&anna);
        let back = come_back(&browser, &provider, person.clone(), APP).await;
        assert_eq!(back.status, 302, "{}", back.html);
        assert_eq!(log_in(&anna.nobody(), &back.location).await, anna.user_id);
        // On the account's pages too.
        let page = browser.open("/oauth2/account").await;
        let link = page.html.split("href=\"").nth(1).expect("a link");
        let link = link.split('"').next().expect("an address");
        let link = link.replace("&#x2f;", "/").replace("&amp;", "&");
        let start = browser.open(&link).await;
        provider.recognise(&parameter(&start.location, "nonce"), person);
        let state = parameter(&start.location, "state");
        let back = browser
            .open(&format!(
                "/_synapse/client/oidc/callback?code=c&state={state}"
            ))
            .await;
        let path = back
            .location
            .strip_prefix(anna.base())
            .expect("an address of ours");
        let led = browser.open(path).await;
        let account = browser.open(&led.location).await;
        assert!(account.html.contains(&anna.user_id), "{}", account.html);
    })
    .await;
}

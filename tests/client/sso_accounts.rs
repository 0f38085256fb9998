//! Accounts of people who come by single sign-on: how they begin, prove who they are, and are logged out from elsewhere.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    browser::{Browser, Shown},
    oauth::{WHOAMI, post_form, refused},
    props::text,
    sso::{APP, Provider, come_back, parameter},
    stage::on_own_servers,
};
use crate::harness::{Client, client::encode};

const LOGOUT: &str = "/_synapse/client/oidc/backchannel_logout";
const CONSENT: &str = "/_synapse/client/new_user_consent";
const REGISTER: &str = "/_synapse/client/sso_register";
const POLICIES: &str = "[{ id = \"privacy\", version = \"1.2\", texts = { en = { name = \"Privacy\", url = \"https://a.test/privacy\" } } }]";

/// Says yes on the last page, and logs a client in.
async fn enter(client: &Client, browser: &Browser, confirm: &Shown) -> Client {
    assert_eq!(confirm.status, 200, "{}", confirm.html);
    let back = browser.submit(confirm, &[]).await;
    let token = parameter(&back.location, "loginToken");
    let body = json!({"type": "m.login.token", "token": token});
    let session = client.post("/_matrix/client/v3/login", body).await.ok();
    client.nobody().with_session(&session)
}

async fn sign_in(client: &Client, provider: &Provider, person: Value) -> Client {
    let browser = Browser::new(client);
    let confirm = come_back(&browser, provider, person, APP).await;
    enter(client, &browser, &confirm).await
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_accept_the_policies() {
    let provider = Provider::start().await;
    let providers = provider.settings("");
    let settings = [
        ("PLAYHOUSE_SSO_PROVIDERS", providers.as_str()),
        ("PLAYHOUSE_CONSENT_POLICIES", POLICIES),
        ("PLAYHOUSE_ENABLE_REGISTRATION", "false"),
    ];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let browser = Browser::new(&client);
        assert_eq!(browser.open(CONSENT).await.status, 400);
        assert_eq!(browser.open(REGISTER).await.status, 400);
        let person = json!({"sub": "1", "preferred_username": "nora"});
        let led = come_back(&browser, &provider, person.clone(), APP).await;
        assert_eq!((led.status, led.location.as_str()), (302, CONSENT));
        // Who goes past the page comes back to it.
        let past = browser.open(REGISTER).await;
        assert_eq!((past.status, past.location.as_str()), (302, CONSENT));
        let page = browser.open(CONSENT).await;
        assert!(
            page.html.contains("https:&#x2f;&#x2f;a.test&#x2f;privacy"),
            "{}",
            page.html
        );
        assert!(page.html.contains("@nora:playhouse.test"), "{}", page.html);
        let no = browser.submit(&page, &[("accept", "no")]).await;
        assert!(no.html.contains("role=\"alert\""), "{}", no.html);
        let profile = "/_matrix/client/v3/profile/@nora:playhouse.test";
        client.get(profile).await.refused(404, "M_NOT_FOUND");
        let yes = browser.submit(&page, &[("accept", "yes")]).await;
        assert_eq!((yes.status, yes.location.as_str()), (302, REGISTER));
        let confirm = browser.open(REGISTER).await;
        let nora = enter(&client, &browser, &confirm).await;
        assert_eq!(nora.user_id, "@nora:playhouse.test");
        // The second time nobody asks.
        let again = sign_in(&client, &provider, person).await;
        assert_eq!(again.user_id, nora.user_id);
        // Another of that name picks one first.
        let browser = Browser::new(&client);
        let other = json!({"sub": "2", "preferred_username": "nora"});
        let led = come_back(&browser, &provider, other, APP).await;
        let page = browser.open(&led.location).await;
        let led = browser.submit(&page, &[("username", "nora2")]).await;
        assert_eq!((led.status, led.location.as_str()), (302, CONSENT));
        let page = browser.open(CONSENT).await;
        browser.submit(&page, &[("accept", "yes")]).await;
        let confirm = browser.open(REGISTER).await;
        let nora2 = enter(&client, &browser, &confirm).await;
        assert_eq!(nora2.user_id, "@nora2:playhouse.test");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_can_be_closed_to_newcomers() {
    let provider = Provider::start().await;
    let providers = provider.settings(", allow_registration = false, allow_existing_users = true");
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let client = anna.nobody();
        let person = json!({"sub": "1", "preferred_username": "anna"});
        let known = sign_in(&client, &provider, person).await;
        assert_eq!(known.user_id, anna.user_id);
        for person in [
            json!({"sub": "2", "preferred_username": "bert"}),
            json!({"sub": "3"}),
        ] {
            let browser = Browser::new(&client);
            let closed = come_back(&browser, &provider, person, APP).await;
            assert_eq!(closed.status, 403, "{}", closed.html);
        }
    })
    .await;
}

/// What a request is answered that needs authentication, with a session.
async fn delete(client: &Client, session: Option<&str>) -> crate::harness::client::Answer {
    let path = format!("/_matrix/client/v3/devices/{}", client.device_id);
    let auth = session.map(|session| json!({"session": session, "type": "m.login.sso"}));
    let body = auth.map_or(json!({}), |auth| json!({"auth": auth}));
    client.request(Method::DELETE, &path, Some(body)).await
}

/// Goes through the stage in a browser as a person; the page it ends with.
async fn pass_stage(client: &Client, provider: &Provider, session: &str, person: Value) -> Shown {
    let browser = Browser::new(client);
    let page = format!(
        "/_matrix/client/v3/auth/m.login.sso/fallback/web?session={}",
        encode(session)
    );
    let start = browser.open(&page).await;
    assert_eq!(start.status, 302, "{}", start.html);
    assert_eq!(parameter(&start.location, "prompt"), "login");
    provider.recognise(&parameter(&start.location, "nonce"), person);
    let state = parameter(&start.location, "state");
    let back = format!("/_synapse/client/oidc/callback?code=c&state={state}");
    let confirm = browser.open(&back).await;
    if confirm.status != 200 {
        return confirm;
    }
    browser.submit(&confirm, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_prove_who_they_are_at_their_provider() {
    let provider = Provider::start().await;
    let providers = provider.settings(", allow_existing_users = true");
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let client = anna.nobody();
        let flows = |answer: &Value| {
            let flows = answer["flows"].as_array().expect("flows").iter();
            flows
                .map(|flow| text(&flow["stages"][0]))
                .collect::<Vec<_>>()
        };
        // Who has a password and never came by single sign-on.
        let asked = delete(&anna, None).await;
        assert_eq!(
            (asked.status, flows(&asked.body)),
            (401, vec!["m.login.password".to_owned()])
        );
        let person = json!({"sub": "1", "preferred_username": "anna"});
        sign_in(&client, &provider, person).await;
        let asked = delete(&anna, None).await;
        assert_eq!(flows(&asked.body), ["m.login.password", "m.login.sso"]);
        // Who has none.
        let person = json!({"sub": "2", "preferred_username": "nora"});
        let nora = sign_in(&client, &provider, person.clone()).await;
        let asked = delete(&nora, None).await;
        assert_eq!(flows(&asked.body), ["m.login.sso"]);
        let session = text(&asked.body["session"]);
        // It is not enough to say so, nor to be somebody else.
        delete(&nora, Some(&session))
            .await
            .refused(401, "M_FORBIDDEN");
        let other = json!({"sub": "1", "preferred_username": "anna"});
        let wrong = pass_stage(&client, &provider, &session, other).await;
        assert_eq!(wrong.status, 403, "{}", wrong.html);
        delete(&nora, Some(&session))
            .await
            .refused(401, "M_FORBIDDEN");
        let done = pass_stage(&client, &provider, &session, person).await;
        assert!(
            done.status == 200 && done.html.contains("<script>"),
            "{}",
            done.html
        );
        delete(&nora, Some(&session)).await.ok();
        nora.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        let ended = pass_page(&client, &session).await;
        assert_eq!(ended.status, 404, "{}", ended.html);
    })
    .await;
}

async fn pass_page(client: &Client, session: &str) -> Shown {
    let page = format!("/_matrix/client/v3/auth/m.login.sso/fallback/web?session={session}");
    Browser::new(client).open(&page).await
}

/// A logout token with these claims and what all of them have.
fn logout(provider: &Provider, jti: &str, further: Value) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let mut claims = json!({
        "iss": provider.issuer, "aud": "playhouse", "iat": now, "exp": now + 120, "jti": jti,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let further = further.as_object().expect("an object").clone();
    claims.as_object_mut().expect("an object").extend(further);
    provider.signed(&claims)
}

async fn tell(client: &Client, token: &str) -> (u16, Value) {
    let answer = post_form(client, LOGOUT, &[("logout_token", token)]).await;
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_log_people_out() {
    let provider = Provider::start().await;
    let providers = provider.settings("");
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let person = |sub: &str, sid: &str| {
            json!({"sub": sub, "preferred_username": format!("u{sub}"), "sid": sid})
        };
        let first = sign_in(&client, &provider, person("1", "a")).await;
        let second = sign_in(&client, &provider, person("1", "b")).await;
        let other = sign_in(&client, &provider, person("2", "c")).await;
        for (what, wrong) in [
            ("another audience", json!({"sub": "1", "aud": "another"})),
            ("ended", json!({"sub": "1", "exp": 1_000})),
            ("an identity", json!({"sub": "1", "nonce": "n"})),
            ("no event", json!({"sub": "1", "events": {}})),
            ("old", json!({"sub": "1", "iat": 1_000})),
            ("nobody", json!({})),
            ("another issuer", json!({"sub": "1", "iss": "https://another.test"})),
        ] {
            let (status, body) = tell(&client, &logout(&provider, "x", wrong)).await;
            assert_eq!((status, &body["error"]), (400, &json!("invalid_request")), "{what}");
        }
        let stranger = Provider::start().await;
        let forged = json!({"sub": "1", "iss": provider.issuer});
        assert_eq!(tell(&client, &logout(&stranger, "y", forged)).await.0, 400);
        assert_eq!(tell(&client, "nonsense").await.0, 400);
        first.get(WHOAMI).await.ok();
        // One session, by its name there; another person's name with it ends nothing.
        let mixed = logout(&provider, "1", json!({"sub": "2", "sid": "a"}));
        assert_eq!(tell(&client, &mixed).await.0, 200);
        first.get(WHOAMI).await.ok();
        let token = logout(&provider, "2", json!({"sid": "b"}));
        assert_eq!(tell(&client, &token).await.0, 200);
        second.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        first.get(WHOAMI).await.ok();
        assert_eq!(tell(&client, &token).await.0, 400, "used twice");
        // All sessions of a person.
        let token = logout(&provider, "3", json!({"sub": "1"}));
        assert_eq!(tell(&client, &token).await.0, 200);
        first.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        other.get(WHOAMI).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_ask_about_tokens() {
    const CLIENTS: &str =
        "[{ client_id = \"service\", client_secret = \"a secret of a service\" }]";
    const PATH: &str = "/oauth2/introspect";
    let settings = [("PLAYHOUSE_OAUTH_INTROSPECTION_CLIENTS", CLIENTS)];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let token = anna.token.clone().expect("a session");
        let metadata = anna.get("/_matrix/client/v1/auth_metadata").await.ok();
        assert!(text(&metadata["introspection_endpoint"]).ends_with(PATH));
        let secret = [
            ("client_id", "service"),
            ("client_secret", "a secret of a service"),
        ];
        let ask = async |token: &str| {
            let fields = [secret[0], secret[1], ("token", token)];
            post_form(&anna, PATH, &fields).await.ok()
        };
        let told = ask(&token).await;
        assert_eq!(
            (&told["active"], &told["sub"]),
            (&json!(true), &json!(anna.user_id))
        );
        assert!(text(&told["scope"]).contains(&anna.device_id), "{told}");
        assert_eq!(ask("nonsense").await, json!({"active": false}));
        let fields = [("token", token.as_str())];
        let stranger = post_form(&anna, PATH, &fields).await;
        refused(&stranger, 401, "invalid_client");
        assert!(stranger.header("www-authenticate").starts_with("Basic"));
        let wrong = [
            ("client_id", "service"),
            ("client_secret", "another"),
            fields[0],
        ];
        refused(&post_form(&anna, PATH, &wrong).await, 401, "invalid_client");
        anna.post("/_matrix/client/v3/logout", json!({})).await.ok();
        assert_eq!(ask(&token).await, json!({"active": false}));
    })
    .await;
}

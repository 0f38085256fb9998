//! Mail addresses of accounts: proving, registering, adding, logging in, resetting the password.

use serde_json::{Value, json};

use super::stage::{fresh, on_own_servers};
use crate::harness::{Client, Double, MailSink, TestServer, client::Answer};

const TOKEN_FOR: [(&str, &str); 3] = [
    ("register", "/_matrix/client/v3/register/email/requestToken"),
    ("add", "/_matrix/client/v3/account/3pid/email/requestToken"),
    (
        "password",
        "/_matrix/client/v3/account/password/email/requestToken",
    ),
];

/// Plays on servers that mail to a sink.
pub(crate) async fn with_mail(
    further: &[(&str, &str)],
    play: impl AsyncFn(&mut TestServer, &MailSink),
) {
    let sink = MailSink::start().await;
    let environment = sink.environment();
    let mut all: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    all.extend(further);
    let play = async |server: &mut TestServer| {
        sink.forget();
        play(server, &sink).await;
    };
    on_own_servers(&all, play).await;
}

async fn ask(client: &Client, purpose: &str, email: &str, attempt: u64) -> Answer {
    let (_, path) = TOKEN_FOR
        .iter()
        .find(|(known, _)| *known == purpose)
        .expect("a purpose");
    let body = json!({"client_secret": "s3cret", "email": email, "send_attempt": attempt});
    client.post(path, body).await
}

/// Proves to have an address and gives the credentials.
pub(crate) async fn prove(client: &Client, sink: &MailSink, purpose: &str, email: &str) -> Value {
    let kept = email.to_lowercase();
    let before = sink.count(&kept);
    let sid = ask(client, purpose, email, 1).await.ok()["sid"].clone();
    let mail = sink.mail(&kept, before + 1).await;
    let page = client.open(&mail.link(), "en").await;
    assert!(page.html.contains("Confirm your address"), "{}", page.html);
    let done = page.send(client, &[]).await;
    assert_eq!(done.status, 200, "{}", done.html);
    json!({"sid": sid, "client_secret": "s3cret"})
}

fn email_stage(creds: &Value) -> Value {
    json!({"type": "m.login.email.identity", "threepid_creds": creds})
}

fn password_stage(client: &Client) -> Value {
    json!({
        "type": "m.login.password", "password": "correct horse",
        "identifier": {"type": "m.id.user", "user": client.user_id}
    })
}

async fn addresses(client: &Client) -> Vec<String> {
    let known = client.get("/_matrix/client/v3/account/3pid").await.ok();
    let known = known["threepids"].as_array().expect("a list").clone();
    known
        .iter()
        .map(|known| known["address"].as_str().expect("an address").to_owned())
        .collect()
}

pub(crate) async fn add(client: &Client, creds: &Value) -> Answer {
    let mut body = creds.clone();
    body["auth"] = password_stage(client);
    client
        .post("/_matrix/client/v3/account/3pid/add", body)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_begins_with_an_address() {
    with_mail(&[], async |server, sink| {
        let nobody = server.client();
        let name = fresh("mailed");
        let email = format!("{name}@example.org");
        let creds = prove(&nobody, sink, "register", &format!("{name}@EXAMPLE.org")).await;
        let body = json!({"username": name, "password": "correct horse", "auth": email_stage(&creds)});
        let made = nobody.post("/_matrix/client/v3/register", body.clone()).await.ok();
        let anna = nobody.nobody().with_session(&made);
        assert_eq!(addresses(&anna).await, [email.as_str()]);

        let login = json!({
            "type": "m.login.password", "password": "correct horse",
            "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": email.to_uppercase()}
        });
        let session = nobody.post("/_matrix/client/v3/login", login.clone()).await.ok();
        assert_eq!(session["user_id"], anna.user_id.as_str());
        let mut unknown = login.clone();
        unknown["identifier"]["address"] = json!("nobody@example.org");
        let refused = nobody.post("/_matrix/client/v3/login", unknown).await;
        refused.refused(403, "M_FORBIDDEN");

        ask(&nobody, "register", &email, 2).await.refused(400, "M_THREEPID_IN_USE");
        let mut again = body;
        again["username"] = json!(fresh("mailed"));
        let refused = nobody.post("/_matrix/client/v3/register", again).await;
        assert_eq!(refused.status, 401, "a proof is used once: {}", refused.body);

        let mut close = json!({"auth": password_stage(&anna)});
        close["erase"] = json!(true);
        anna.post("/_matrix/client/v3/account/deactivate", close).await.ok();
        ask(&nobody, "register", &email, 3).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_added_and_deleted() {
    with_mail(&[], async |server, sink| {
        let (anna, ben) = (
            server.register(&fresh("anna")).await,
            server.register(&fresh("ben")).await,
        );
        let email = format!("{}@example.org", fresh("shared"));
        let unproven = json!({"sid": "nonsense", "client_secret": "s3cret"});
        add(&anna, &unproven)
            .await
            .refused(400, "M_THREEPID_AUTH_FAILED");
        let sid = ask(&anna, "add", &email, 1).await.ok()["sid"].clone();
        let creds = json!({"sid": sid, "client_secret": "s3cret"});
        add(&anna, &creds)
            .await
            .refused(400, "M_THREEPID_AUTH_FAILED");
        let page = anna.open(&sink.mail(&email, 1).await.link(), "de-AT").await;
        assert!(page.html.contains("<html lang=\"de\">"), "{}", page.html);
        page.send(&anna, &[]).await;

        // Ben proves to have the same address: he reads the same mail box.
        let body = json!({"client_secret": "other", "email": email, "send_attempt": 1});
        let sid = ben.post(TOKEN_FOR[1].1, body).await.ok()["sid"].clone();
        let others = json!({"sid": sid, "client_secret": "other"});
        let page = ben.open(&sink.mail(&email, 2).await.link(), "en").await;
        page.send(&ben, &[]).await;

        let missing = anna
            .post("/_matrix/client/v3/account/3pid/add", creds.clone())
            .await;
        assert_eq!(missing.status, 401);
        let (one, two) = tokio::join!(add(&anna, &creds), add(&ben, &others));
        let statuses = [one.status, two.status];
        assert!(
            statuses == [200, 400] || statuses == [400, 200],
            "{statuses:?}"
        );
        let (winner, loser) = if one.status == 200 {
            two.refused(400, "M_THREEPID_IN_USE");
            (&anna, &ben)
        } else {
            one.refused(400, "M_THREEPID_IN_USE");
            (&ben, &anna)
        };
        assert_eq!(addresses(winner).await, [email.as_str()]);
        assert!(addresses(loser).await.is_empty());

        let delete = json!({"medium": "email", "address": email});
        let path = "/_matrix/client/v3/account/3pid/delete";
        loser
            .post(path, delete.clone())
            .await
            .refused(400, "M_THREEPID_NOT_FOUND");
        let told = winner.post(path, delete).await.ok();
        assert_eq!(told["id_server_unbind_result"], "no-support");
        assert!(addresses(winner).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_set_anew() {
    with_mail(&[], async |server, sink| {
        let anna = server.register(&fresh("anna")).await;
        let email = format!("{}@example.org", fresh("reset"));
        ask(&anna, "password", &email, 1)
            .await
            .refused(400, "M_THREEPID_NOT_FOUND");
        let creds = prove(&anna, sink, "add", &email).await;
        add(&anna, &creds).await.ok();

        let nobody = anna.nobody();
        let path = "/_matrix/client/v3/account/password";
        let asked = nobody
            .post(path, json!({"new_password": "another horse"}))
            .await;
        assert_eq!(asked.status, 401);
        assert_eq!(
            asked.body["flows"],
            json!([{"stages": ["m.login.email.identity"]}])
        );
        let stage = |creds: &Value| {
            let mut auth = email_stage(creds);
            auth["session"] = asked.body["session"].clone();
            json!({"new_password": "another horse", "auth": auth})
        };
        // What was proven to add the address does not set a password.
        let refused = nobody.post(path, stage(&creds)).await;
        refused.refused(401, "M_UNAUTHORIZED");
        let creds = prove(&nobody, sink, "password", &email).await;
        // The server may be started anew between the steps of the person.
        server.restart();
        let nobody = server.client();
        let mut body = stage(&creds);
        body["auth"]["session"] = Value::Null;
        body["auth"]
            .as_object_mut()
            .expect("an object")
            .remove("session");
        nobody.post(path, body.clone()).await.ok();
        let again = nobody.post(path, body).await;
        assert_eq!(again.status, 401, "{}", again.body);

        let old = server.client().at(server.base());
        let login = |password: &str| {
            json!({
                "type": "m.login.password", "password": password,
                "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": email}
            })
        };
        let refused = old
            .post("/_matrix/client/v3/login", login("correct horse"))
            .await;
        refused.refused(403, "M_FORBIDDEN");
        old.post("/_matrix/client/v3/login", login("another horse"))
            .await
            .ok();
        let gone = anna
            .at(server.base())
            .get("/_matrix/client/v3/account/whoami")
            .await;
        gone.refused(401, "M_UNKNOWN_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_are_sent_once_and_lead_where_they_may() {
    let next = Double::start(|_| (200, json!({}))).await;
    let further = [
        ("PLAYHOUSE_EMAIL_NEXT_LINK_HOSTS", "127.0.0.1"),
        ("PLAYHOUSE_EMAIL_ALLOWED", "*@example.org,*@example.com"),
    ];
    with_mail(&further, async |server, sink| {
        let client = server.client();
        let email = format!("{}@example.org", fresh("once"));
        let first = ask(&client, "add", &email, 1).await.ok();
        sink.mail(&email, 1).await;
        assert_eq!(ask(&client, "add", &email, 1).await.ok(), first);
        assert_eq!(sink.count(&email), 1);
        assert_eq!(ask(&client, "add", &email, 2).await.ok(), first);
        let mail = sink.mail(&email, 2).await;
        assert!(
            mail.text.contains("Subject: Confirm your mail address"),
            "{}",
            mail.text
        );

        // A token that was replaced, a wrong one, and a form without a seal.
        let wrong = mail.link().replace(&mail.parameter("token"), "nonsense");
        let refused = client.open(&wrong, "en").await.send(&client, &[]).await;
        assert_eq!(refused.status, 400, "{}", refused.html);
        let page = client
            .open(
                "/_matrix/client/unstable/add_threepid/email/submit_token",
                "en",
            )
            .await;
        assert_eq!(page.status, 400, "{}", page.html);
        let forged = page
            .send(
                &client,
                &[("sid", "x"), ("token", "y"), ("client_secret", "z")],
            )
            .await;
        assert_eq!(forged.status, 403, "{}", forged.html);

        let mut body = json!({"client_secret": "more", "email": email, "send_attempt": 1});
        body["next_link"] = json!("https://evil.example/");
        client
            .post(TOKEN_FOR[1].1, body.clone())
            .await
            .refused(400, "M_INVALID_PARAM");
        body["next_link"] = json!(format!("{}/next?x=1", next.base()));
        client.post(TOKEN_FOR[1].1, body).await.ok();
        let page = client.open(&sink.mail(&email, 3).await.link(), "en").await;
        let before = next.asked("GET /next?x=1").len();
        page.send(&client, &[]).await;
        assert_eq!(next.asked("GET /next?x=1").len(), before + 1);

        ask(&client, "add", "a@example.net", 1)
            .await
            .refused(403, "M_THREEPID_DENIED");
        ask(&client, "add", "no address", 1)
            .await
            .refused(400, "M_INVALID_PARAM");
        ask(&client, "add", "refused@example.org", 1)
            .await
            .refused(500, "M_UNKNOWN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_who_has_an_address() {
    let further = [
        ("PLAYHOUSE_EMAIL_HIDE_ACCOUNTS", "true"),
        ("PLAYHOUSE_EMAIL_REQUIRED_AT_REGISTRATION", "true"),
    ];
    with_mail(&further, async |server, sink| {
        let client = server.client();
        let asked = client.post("/_matrix/client/v3/register", json!({})).await;
        assert_eq!(
            asked.body["flows"],
            json!([{"stages": ["m.login.email.identity"]}])
        );
        let told = ask(&client, "password", "unknown@example.org", 1)
            .await
            .ok();
        assert!(told["sid"].is_string());
        assert_eq!(sink.count("unknown@example.org"), 0);
    })
    .await;
}

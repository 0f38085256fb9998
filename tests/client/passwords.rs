//! Passwords that other systems know: an LDAP directory, an HTTP endpoint.

use std::cell::RefCell;

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::on_own_servers;
use crate::harness::{
    Client, TestServer,
    client::Answer,
    ldap::{ADMINISTRATOR, Directory, SECRET, SUFFIX},
    web::{Body, Reply, Seen, Web},
};

/// Anna and two of one name.
fn entries() -> String {
    let person = |cn: &str, uid: &str| {
        format!(
            "dn: cn={cn},{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {uid}\nsn: X\nmail: {uid}@example.org\nuserPassword: {uid} knows\n\n"
        )
    };
    [
        person("Anna Example", "Anna"),
        person("One", "twin"),
        person("Other", "twin"),
        person("old", "old"),
    ]
    .concat()
}

async fn log_in(client: &Client, user: &str, password: &str) -> Answer {
    let body = json!({
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password
    });
    client.post("/_matrix/client/v3/login", body).await
}

/// Anna comes for the first time, and again; nobody else does.
async fn anna_and_nobody_else(server: &TestServer) {
    let nobody = server.client();
    for (user, password) in [
        ("anna", "wrong"),
        ("anna", ""),
        ("*", "Anna knows"),
        ("a*", "Anna knows"),
        ("anna)(uid=*", "Anna knows"),
        ("anna,cn=x", "Anna knows"),
        ("stranger", "Anna knows"),
        ("@anna:elsewhere.test", "Anna knows"),
    ] {
        let answer = log_in(&nobody, user, password).await;
        answer.refused(403, "M_FORBIDDEN");
    }
    let session = log_in(&nobody, "anna", "Anna knows").await.ok();
    let anna = nobody.clone().with_session(&session);
    assert!(anna.user_id.starts_with("@anna:"), "{session}");
    let path = format!("/_matrix/client/v3/profile/{}", anna.user_id);
    let profile = anna.get(&path).await.ok();
    assert_eq!(profile["displayname"], "Anna Example");
    let addresses = anna.get("/_matrix/client/v3/account/3pid").await.ok();
    assert_eq!(addresses["threepids"][0]["address"], "anna@example.org");
    let again = log_in(&server.client(), &anna.user_id, "Anna knows").await;
    assert_eq!(again.ok()["user_id"], anna.user_id.as_str());
}

/// Proves who one is by a password, and deletes a device by that.
async fn delete_device(client: &Client, password: &str) -> u16 {
    let path = format!("/_matrix/client/v3/devices/{}", client.device_id);
    let asked = client.request(Method::DELETE, &path, Some(json!({}))).await;
    assert_eq!(asked.status, 401);
    let flows = &asked.body["flows"];
    assert_eq!(*flows, json!([{"stages": ["m.login.password"]}]));
    let auth = json!({
        "type": "m.login.password", "session": asked.body["session"], "password": password,
        "identifier": {"type": "m.id.user", "user": client.user_id},
    });
    let body = json!({ "auth": auth });
    client
        .request(Method::DELETE, &path, Some(body))
        .await
        .status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_searched() {
    let directory = Directory::start(&entries());
    let (url, authority) = (directory.secured_url(), directory.authority());
    let directory = RefCell::new(directory);
    let authority = authority.to_str().expect("a path");
    let environment = [
        ("PLAYHOUSE_LDAP_URL", url.as_str()),
        ("PLAYHOUSE_EXTRA_CA", authority),
        ("PLAYHOUSE_LDAP_BASE", SUFFIX),
        ("PLAYHOUSE_LDAP_BIND_DN", ADMINISTRATOR),
        ("PLAYHOUSE_LDAP_BIND_PASSWORD", SECRET),
        (
            "PLAYHOUSE_LDAP_FILTER",
            "(&(objectClass=inetOrgPerson)(uid={username}))",
        ),
    ];
    on_own_servers(&environment, async |server| {
        anna_and_nobody_else(server).await;
        let nobody = server.client();
        // Nobody knows which of the two it is.
        log_in(&nobody, "twin", "twin knows")
            .await
            .refused(403, "M_FORBIDDEN");
        let session = log_in(&nobody, "anna", "Anna knows").await.ok();
        let anna = nobody.clone().with_session(&session);
        assert_eq!(delete_device(&anna, "wrong").await, 401);
        assert_eq!(delete_device(&anna, "Anna knows").await, 200);
        // Accounts of the server's own go on beside.
        let own = server.register("own").await;
        own.login_again().await;
        // A directory that cannot be asked might have known.
        directory.borrow_mut().stop();
        let answer = log_in(&server.client(), "anna", "Anna knows").await;
        assert_eq!(answer.status, 502, "{}", answer.body);
        directory.borrow_mut().start_again();
        log_in(&server.client(), "anna", "Anna knows").await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_asked_by_the_persons_own_name() {
    let directory = Directory::start(&entries());
    let (url, authority) = (directory.url(), directory.authority());
    let template = format!("cn={{username}},{SUFFIX}");
    let environment = [
        ("PLAYHOUSE_LDAP_URL", url.as_str()),
        ("PLAYHOUSE_LDAP_START_TLS", "true"),
        ("PLAYHOUSE_EXTRA_CA", authority.to_str().expect("a path")),
        ("PLAYHOUSE_LDAP_USER_DN", template.as_str()),
        ("PLAYHOUSE_PASSWORDS_REGISTER", "false"),
    ];
    on_own_servers(&environment, async |server| {
        let nobody = server.client();
        // Without an account there is nothing to open.
        log_in(&nobody, "old", "old knows")
            .await
            .refused(403, "M_FORBIDDEN");
        let old = server.register("old").await;
        let session = log_in(&nobody, "old", "old knows").await.ok();
        assert_eq!(session["user_id"], old.user_id.as_str());
        log_in(&nobody, "old", "wrong")
            .await
            .refused(403, "M_FORBIDDEN");
        // So does the password that this server keeps.
        old.login_again().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_asked() {
    let web = Web::start("127.0.0.1", |seen: &Seen| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let is_right = asked["user"]["password"] == "Anna knows";
        let answer = match is_right && seen.target == "/check" {
            true => json!({"auth": {"success": true, "mxid": asked["user"]["id"], "profile": {
                "display_name": "Anna Example", "three_pids": [{"medium": "email", "address": "anna@example.org"}],
            }}}),
            false => json!({"auth": {"success": false}}),
        };
        Reply::new(
            "application/json",
            Body::Bytes(answer.to_string().into_bytes()),
        )
    })
    .await;
    let url = format!("{}/check", web.base());
    let environment = [
        ("PLAYHOUSE_PASSWORDS_CHECK_URL", url.as_str()),
        ("PLAYHOUSE_PASSWORDS_LOCAL", "false"),
    ];
    on_own_servers(&environment, async |server| {
        let nobody = server.client();
        let session = log_in(&nobody, "anna", "Anna knows").await.ok();
        let anna = nobody.clone().with_session(&session);
        let path = format!("/_matrix/client/v3/profile/{}", anna.user_id);
        let profile = anna.get(&path).await.ok();
        assert_eq!(profile["displayname"], "Anna Example");
        // Passwords are none of this server's business.
        let own = server.register("own").await;
        log_in(&nobody, "own", "correct horse")
            .await
            .refused(403, "M_FORBIDDEN");
        let body = json!({"new_password": "another password"});
        let path = "/_matrix/client/v3/account/password";
        own.post(path, body).await.refused(403, "M_FORBIDDEN");
        let able = own.get("/_matrix/client/v3/capabilities").await.ok();
        assert_eq!(able["capabilities"]["m.change_password"]["enabled"], false);
    })
    .await;
}

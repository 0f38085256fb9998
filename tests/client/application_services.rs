//! Application services, as clients: they make accounts of their own and act for them, and nobody else takes their names.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    props::{room_path, text},
    stage::on_own_servers,
};
use crate::harness::{
    Client, TestServer, administrator,
    client::{Answer, encode},
    web::{Body, Reply, Seen, Web},
};

const REGISTRATION: &str = r##"
id: irc
url: null
as_token: as-token-of-irc
hs_token: hs-token-of-irc
sender_localpart: ircbot
namespaces:
  users:
    - {regex: "@irc_.*:playhouse\\.test", exclusive: true}
  aliases:
    - {regex: "#irc_.*:playhouse\\.test", exclusive: true}
  rooms: []
rate_limited: false
"##;

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";
const KIND: &str = "m.login.application_service";
const IRC_ANNA: &str = "@irc_anna:playhouse.test";

fn bridge(server: &TestServer) -> Client {
    let mut client = server.client();
    client.token = Some("as-token-of-irc".to_owned());
    client
}

fn acting(path: &str) -> String {
    format!("{path}?user_id={}", encode(IRC_ANNA))
}

async fn whoami(client: &Client, query: &str) -> Answer {
    let path = format!("/_matrix/client/v3/account/whoami{query}");
    client.get(&path).await
}

/// Accounts of the bridge's, and names that are its own.
async fn accounts(server: &TestServer, irc: &Client) {
    let nobody = server.client();
    let account = |name: &str| json!({"type": KIND, "username": name, "inhibit_login": true});
    nobody
        .post(REGISTER, account("irc_anna"))
        .await
        .refused(401, "M_MISSING_TOKEN");
    irc.post(REGISTER, account("anna"))
        .await
        .refused(400, "M_EXCLUSIVE");
    whoami(irc, &acting("")).await.refused(403, "M_FORBIDDEN");
    let made = irc.post(REGISTER, account("irc_anna")).await.ok();
    assert_eq!(made, json!({"user_id": IRC_ANNA}));
    irc.post(REGISTER, account("irc_anna"))
        .await
        .refused(400, "M_USER_IN_USE");
    let own = json!({"username": "irc_ben", "password": "correct horse", "auth": {"type": "m.login.dummy"}});
    nobody.post(REGISTER, own).await.refused(400, "M_EXCLUSIVE");
    let free = format!("{REGISTER}/available?username=irc_ben");
    nobody.get(&free).await.refused(400, "M_EXCLUSIVE");
    let by_password = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "irc_anna"}, "password": ""});
    nobody
        .post(LOGIN, by_password)
        .await
        .refused(403, "M_FORBIDDEN");
}

/// It acts for its users, and for nobody else; its own user is there by itself.
async fn acts(server: &TestServer, irc: &Client) -> String {
    let anna = server.register("anna").await;
    assert_eq!(
        whoami(irc, "").await.ok()["user_id"],
        "@ircbot:playhouse.test"
    );
    assert_eq!(whoami(irc, &acting("")).await.ok()["user_id"], IRC_ANNA);
    let other = format!("?user_id={}", encode(&anna.user_id));
    whoami(irc, &other).await.refused(403, "M_FORBIDDEN");
    whoami(irc, "?user_id=anna")
        .await
        .refused(400, "M_INVALID_PARAM");
    let room = json!({"preset": "public_chat", "room_alias_name": "irc_hall"});
    let create = "/_matrix/client/v3/createRoom";
    anna.post(create, room.clone())
        .await
        .refused(400, "M_EXCLUSIVE");
    let made = irc.post(&acting(create), room).await.ok();
    let room_id = text(&made["room_id"]);
    anna.join(&room_id).await;
    let said = async |client: &Client, path: String, ts: &str| -> Value {
        let body = json!({"msgtype": "m.text", "body": "hello"});
        let sent = client.put(&format!("{path}{ts}"), body).await.ok();
        let event_id = encode(sent["event_id"].as_str().expect("an ID"));
        anna.look(&room_id, &format!("event/{event_id}")).await.ok()
    };
    let path = acting(&room_path(&room_id, "send/m.room.message/a"));
    let event = said(irc, path, "&ts=1234567").await;
    assert_eq!(
        (&event["sender"], &event["origin_server_ts"]),
        (&json!(IRC_ANNA), &json!(1_234_567))
    );
    // From others it counts for nothing.
    let path = room_path(&room_id, "send/m.room.message/b");
    let event = said(&anna, path, "?ts=1234567").await;
    assert_ne!(event["origin_server_ts"], 1_234_567);
    let alias = |name: &str| {
        let alias = encode(&format!("#{name}:playhouse.test"));
        format!("/_matrix/client/v3/directory/room/{alias}")
    };
    let to = json!({"room_id": room_id});
    anna.put(&alias("irc_other"), to.clone())
        .await
        .refused(400, "M_EXCLUSIVE");
    irc.put(&acting(&alias("hall")), to.clone())
        .await
        .refused(400, "M_EXCLUSIVE");
    irc.put(&acting(&alias("irc_other")), to).await.ok();
    room_id
}

/// It logs in on a device of its user's, and acts on that.
async fn devices(server: &TestServer, irc: &Client) {
    let as_user = |user: &str| json!({"type": KIND, "identifier": {"type": "m.id.user", "user": user}, "device_id": "PHONE"});
    let nobody = server.client();
    let flows = nobody.get(LOGIN).await.ok();
    let flows = flows["flows"].as_array().expect("flows");
    assert!(flows.contains(&json!({"type": KIND})));
    nobody
        .post(LOGIN, as_user("irc_anna"))
        .await
        .refused(401, "M_MISSING_TOKEN");
    irc.post(LOGIN, as_user("anna"))
        .await
        .refused(400, "M_EXCLUSIVE");
    let session = irc.post(LOGIN, as_user("irc_anna")).await.ok();
    let phone = nobody.clone().with_session(&session);
    let told = whoami(&phone, "").await.ok();
    assert_eq!(
        (&told["user_id"], &told["device_id"]),
        (&json!(IRC_ANNA), &json!("PHONE"))
    );
    let on = |device: &str| format!("{}&device_id={device}", acting(""));
    assert_eq!(whoami(irc, &on("PHONE")).await.ok()["device_id"], "PHONE");
    whoami(irc, &on("FAX"))
        .await
        .refused(400, "M_UNKNOWN_DEVICE");
}

/// A bridge that listens below `/base`, and is mad at one transaction.
async fn listening() -> Web {
    Web::start("127.0.0.1", |seen: &Seen| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let is_ours = seen
            .headers
            .contains("authorization: bearer hs-token-of-irc");
        let status = match (&seen.target[..], is_ours, asked["transaction_id"] == "mad") {
            ("/base/_matrix/app/v1/ping", true, false) => 200,
            _ => 418,
        };
        Reply::new("application/json", Body::Bytes(b"{}".to_vec())).status(status)
    })
    .await
}

/// The registration file of a bridge of this name that listens there, with its tokens named after it.
fn registered(folder: &Path, name: &str, url: &str) -> String {
    let file = folder.join(format!("{name}.yaml"));
    let text = REGISTRATION
        .replace("irc", name)
        .replace("url: null", &format!("url: {url}"));
    std::fs::write(&file, text).expect("a file");
    file.to_str().expect("a path").to_owned()
}

async fn ping(server: &TestServer, (name, id): (&str, &str), body: Value) -> Answer {
    let mut client = server.client();
    client.token = Some(format!("as-token-of-{name}"));
    let path = format!("/_matrix/client/v1/appservice/{id}/ping");
    client.post(&path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_asks_whether_it_is_heard() {
    let web = listening().await;
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        ("mute", "null".to_owned()),
        ("irc", format!("{}/base/", web.base())),
        ("gone", "http://127.0.0.1:1".to_owned()),
    ];
    let files = files.map(|(name, url)| registered(folder.path(), name, &url));
    let files = files.join(",");
    let settings = [("PLAYHOUSE_APPLICATION_SERVICES_REGISTRATIONS", &*files)];
    on_own_servers(&settings, async |server| {
        let mad = json!({"transaction_id": "mad"});
        let sane = json!({"transaction_id": "t"});
        let told = ping(server, ("irc", "irc"), sane).await.ok();
        assert!(told["duration_ms"].is_u64(), "{told}");
        let told = ping(server, ("irc", "irc"), mad).await;
        let told = told.refused(502, "M_BAD_STATUS");
        assert_eq!(
            (&told["status"], &told["body"]),
            (&json!(418), &json!("{}"))
        );
        for (who, status, errcode) in [
            (("irc", "mute"), 403, "M_FORBIDDEN"),
            (("mute", "mute"), 400, "M_URL_NOT_SET"),
            (("gone", "gone"), 502, "M_CONNECTION_FAILED"),
            (("nobody", "irc"), 401, "M_UNKNOWN_TOKEN"),
        ] {
            let refused = ping(server, who, json!({})).await;
            refused.refused(status, errcode);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_acts_for_its_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("irc.yaml");
    std::fs::write(&file, REGISTRATION).expect("a file");
    let file = file.to_str().expect("a path");
    let settings = [("PLAYHOUSE_APPLICATION_SERVICES_REGISTRATIONS", file)];
    on_own_servers(&settings, async |server| {
        let irc = bridge(server);
        accounts(server, &irc).await;
        let room_id = acts(server, &irc).await;
        devices(server, &irc).await;
        server.restart();
        let irc = bridge(server);
        let joined = irc
            .get(&acting("/_matrix/client/v3/joined_rooms"))
            .await
            .ok();
        assert_eq!(joined["joined_rooms"], json!([room_id]));
        // One that was closed, and opened again without a password, is the bridge's as before.
        let boss = administrator(&server.client(), "boss").await;
        let account = format!("/_synapse/admin/v2/users/{}", encode(IRC_ANNA));
        let closed = |closed: bool| json!({ "deactivated": closed });
        boss.put(&account, closed(true)).await.ok();
        let refused = whoami(&irc, &acting("")).await;
        refused.refused(403, "M_USER_DEACTIVATED");
        boss.put(&account, closed(false)).await.ok();
        assert_eq!(whoami(&irc, &acting("")).await.ok()["user_id"], IRC_ANNA);
    })
    .await;
}

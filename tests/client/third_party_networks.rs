//! Networks behind application services: each is asked with its token, and what they say is put together.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{
    Client, Options, TestServer,
    client::{Answer, encode},
    nodes_wished,
    server::SERVER_NAME,
    web::{Body, Reply, Seen, Web},
};

/// Under this path application services are asked.
const ASKED: &str = "/_matrix/app/v1/thirdparty/";

/// A network, as its application service describes it.
fn described(name: &str) -> Value {
    let field = json!({"regexp": "[^ ]+", "placeholder": "lobby"});
    json!({
        "user_fields": ["nick"], "location_fields": ["channel"], "icon": format!("mxc://{SERVER_NAME}/{name}"),
        "field_types": {"nick": field, "channel": field}, "instances": [instance(name)]
    })
}

fn instance(name: &str) -> Value {
    json!({"desc": name, "network_id": "net", "fields": {"network": name}})
}

/// As the homeserver tells it.
fn known_instance(name: &str) -> Value {
    let mut instance = instance(name);
    instance["instance_id"] = json!(format!("{name}|net"));
    instance
}

fn location(name: &str) -> Value {
    json!({"alias": format!("#{name}:{SERVER_NAME}"), "protocol": "irc", "fields": {"channel": "#lobby"}})
}

fn user(name: &str) -> Value {
    json!({"userid": format!("@{name}:{SERVER_NAME}"), "protocol": "irc", "fields": {"nick": name}})
}

/// What an application service says, if it knows something.
fn said(name: &str, seen: &Seen) -> Option<Value> {
    let token = format!("authorization: bearer hs-{name}");
    if seen.method != "GET" || !seen.headers.lines().any(|line| line == token) {
        return None;
    }
    match seen.target.strip_prefix(ASKED)? {
        "protocol/irc" | "protocol/gitter" => Some(described(name)),
        "location/irc?channel=%23lobby%20%26%20bar&network=net" => {
            let nonsense = json!({"alias": "nonsense", "protocol": "irc", "fields": {}});
            Some(json!([nonsense, location(name)]))
        }
        "user/irc?nick=anna" => Some(json!([user(name)])),
        "location?alias=%23room%3Aplayhouse.test" => Some(json!([location(name)])),
        "user?userid=%40ghost%3Aplayhouse.test" => Some(json!([user(name)])),
        _ => None,
    }
}

fn reply(name: &str, seen: &Seen) -> Reply {
    let said = said(name, seen);
    let status = match said.is_none() && seen.target.starts_with(ASKED) {
        true => 404,
        false => 200,
    };
    let body = said.unwrap_or_else(|| json!({})).to_string().into_bytes();
    Reply::new("application/json", Body::Bytes(body)).status(status)
}

/// Writes a registration and tells its path.
fn registration(folder: &Path, id: &str, url: &str, protocol: &str) -> String {
    let text = format!(
        "id: {id}\nurl: {url}\nas_token: as-{id}\nhs_token: hs-{id}\nsender_localpart: {id}-bridge\n\
         namespaces:\n  users: []\n  aliases: []\n  rooms: []\nprotocols: [{protocol}]\n"
    );
    let path = folder.join(format!("{id}.yaml"));
    std::fs::write(&path, text).expect("the registration can be written");
    path.to_str().expect("a path").to_owned()
}

async fn get(client: &Client, path: &str) -> Answer {
    let path = format!("/_matrix/client/v3/thirdparty/{path}");
    client.get(&path).await
}

fn counted(web: &Web, path: &str) -> usize {
    web.count(&format!("{ASKED}{path}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn bridges_are_asked_about_their_networks() {
    let broken = Web::start("127.0.0.1", |_: &Seen| Reply::page("<p>nonsense")).await;
    let one = Web::start("127.0.0.1", |seen: &Seen| reply("one", seen)).await;
    let other = Web::start("127.0.0.1", |seen: &Seen| reply("other", seen)).await;
    let two = Web::start("127.0.0.1", |seen: &Seen| reply("two", seen)).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let registrations = [
        registration(folder, "broken", &broken.base(), "irc"),
        registration(folder, "one", &one.base(), "irc"),
        registration(folder, "other", &other.base(), "gitter"),
        registration(folder, "silent", "null", "carrier"),
        registration(folder, "two", &two.base(), "irc"),
    ];
    let variable = "PLAYHOUSE_APPLICATION_SERVICES_REGISTRATIONS";
    let server = TestServer::start_with(Options {
        environment: vec![(variable.to_owned(), registrations.join(","))],
        ..Options::default()
    });
    let server = server.await;
    let anna = server.register("anna").await;
    descriptions_are_put_together(&anna).await;
    // Good descriptions are kept, and who gave none is asked again.
    for kept in [&one, &two] {
        assert!((1..=nodes_wished()).contains(&counted(kept, "protocol/irc")));
    }
    assert_eq!(counted(&broken, "protocol/irc"), 2);
    users_and_rooms_are_found(&anna).await;
    what_cannot_be_asked_is_refused(&anna).await;
    let is_about_irc = |seen: &Seen| seen.target.contains("irc");
    assert!(!other.seen().iter().any(is_about_irc));
    for seen in one.seen() {
        let token = anna.token.as_deref().expect("a token");
        assert!(!seen.target.contains(token), "{}", seen.target);
        assert!(!seen.target.contains("access_token"), "{}", seen.target);
    }
}

async fn descriptions_are_put_together(anna: &Client) {
    let mut irc = described("one");
    irc["instances"] = json!([known_instance("one"), known_instance("two")]);
    let mut gitter = described("other");
    gitter["instances"] = json!([known_instance("other")]);
    let told = get(anna, "protocols").await.ok();
    assert_eq!(told, json!({"gitter": gitter, "irc": irc}));
    assert_eq!(get(anna, "protocol/irc").await.ok(), irc);
    assert_eq!(get(anna, "protocol/gitter").await.ok(), gitter);
}

async fn users_and_rooms_are_found(anna: &Client) {
    let path = "location/irc?network=net&channel=%23lobby+%26%20bar";
    let found = get(anna, path).await.ok();
    assert_eq!(found, json!([location("one"), location("two")]));
    // Clients of old give their token in the query: it stays here.
    let token = anna.token.as_deref().expect("a token");
    let path = format!("user/irc?access_token={}&nick=anna", encode(token));
    let found = get(&anna.nobody(), &path).await.ok();
    assert_eq!(found, json!([user("one"), user("two")]));
    let found = get(anna, "user/irc?nick=nobody").await.ok();
    assert_eq!(found, json!([]));
    // Nobody says whose these are, so all are asked.
    let found = get(anna, "location?alias=%23room%3Aplayhouse.test").await;
    let wanted = json!([location("one"), location("other"), location("two")]);
    assert_eq!(found.ok(), wanted);
    let found = get(anna, "user?userid=%40ghost%3Aplayhouse.test").await;
    assert_eq!(found.ok(), json!([user("one"), user("other"), user("two")]));
    assert_eq!(get(anna, "user/carrier?nick=anna").await.ok(), json!([]));
}

async fn what_cannot_be_asked_is_refused(anna: &Client) {
    for path in [
        "protocol/xmpp",
        "location/xmpp?channel=lobby",
        "user/xmpp?nick=anna",
        "protocol/carrier",
    ] {
        get(anna, path).await.refused(404, "M_NOT_FOUND");
    }
    let fields: Vec<String> = (0..21).map(|number| format!("field{number}=1")).collect();
    let path = format!("user/irc?{}", fields.join("&"));
    get(anna, &path).await.refused(400, "M_INVALID_PARAM");
    let path = format!("location/irc?channel={}", "x".repeat(4 * 1024));
    get(anna, &path).await.refused(400, "M_INVALID_PARAM");
    let nobody = anna.nobody();
    get(&nobody, "protocols")
        .await
        .refused(401, "M_MISSING_TOKEN");
}

//! `playhouse admin …` beside a server that runs.

use std::{
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{
        props::{list, room_path, text},
        stage::on_own_servers,
    },
    harness::{Client, TestServer, client::encode},
};

/// The command line of an administrator.
struct Desk<'a> {
    server: &'a TestServer,
    token_file: String,
}

impl Desk<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["admin", "--url", self.server.base()];
        all.extend(["--token-file", self.token_file.as_str()]);
        all.extend(arguments);
        let output = self.server.command(&all).output();
        output.expect("the program runs")
    }

    /// What a command that succeeds says.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (said, errors) = (utf8(&output.stdout), utf8(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{errors}");
        said
    }

    /// The same as JSON.
    #[track_caller]
    fn told(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let said = self.says(&all);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Why a command fails.
    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        utf8(&output.stderr)
    }
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The columns of the line that begins with this.
#[track_caller]
fn row(said: &str, first: &str) -> Vec<String> {
    let found = said
        .lines()
        .find(|line| line.split_whitespace().next() == Some(first));
    let found = found.unwrap_or_else(|| panic!("no {first}: {said}"));
    found
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// Logs in by the command line, with a password from standard input.
fn logged_in<'a>(server: &'a TestServer, name: &str, password: &str) -> Result<Desk<'a>, String> {
    let file = server.data().join(format!("{name}.token"));
    let token_file = file.to_string_lossy().into_owned();
    let words = [
        "admin",
        "--url",
        server.base(),
        "login",
        name,
        "--to",
        token_file.as_str(),
    ];
    let mut child = server
        .command(&words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("standard input is piped");
    writeln!(input, "{password}").expect("it is read");
    drop(input);
    let output = child.wait_with_output().expect("the program ends");
    if !output.status.success() {
        assert!(!file.exists(), "nobody is logged in");
        return Err(utf8(&output.stderr));
    }
    assert_eq!(mode(&file), 0o600);
    Ok(Desk { server, token_file })
}

fn mode(file: &Path) -> u32 {
    let known = std::fs::metadata(file).expect("the file is there");
    known.permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_rooms_are_administered() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let wish = json!({"preset": "public_chat", "name": "Hall\u{1b}[2J"});
        let hall = anna.create_room(wish).await;
        bert.join(&hall).await;
        let why = logged_in(server, "boss", "wrong")
            .err()
            .expect("it is refused");
        assert!(why.contains("M_FORBIDDEN"), "{why}");
        let why = logged_in(server, "anna", "correct horse").err();
        let why = why.expect("she is no administrator");
        assert!(why.contains("M_FORBIDDEN"), "{why}");
        let desk = logged_in(server, "boss", "correct horse").expect("he is one");
        users(&desk);
        what_is_there_stays(&desk);
        rooms(&desk, &hall);
        for client in [&boss, &anna] {
            let whoami = "/_matrix/client/v3/account/whoami";
            client.get(whoami).await.ok();
        }
        assert!(desk.says(&["logout"]).contains("Logged out"));
        assert!(desk.refuses(&["user", "list"]).contains("login"));
    })
    .await;
}

fn users(desk: &Desk<'_>) {
    let said = desk.says(&["user", "list"]);
    assert!(said.starts_with("USER "), "{said}");
    assert_eq!(row(&said, "@anna:playhouse.test")[2..4], ["no", "no"]);
    assert_eq!(row(&said, "@boss:playhouse.test")[2], "yes");
    let all = desk.told(&["user", "list", "--limit", "0"]);
    assert_eq!(list(&all).len(), 3);
    let two = desk.run(&["user", "list", "--limit", "2"]);
    assert!(utf8(&two.stderr).contains("2 of 3 shown"), "{two:?}");
    assert_eq!(list(&desk.told(&["user", "list", "--admins"])).len(), 1);
    let made = desk.told(&["user", "create", "carl", "--displayname", "Carl"]);
    assert_eq!(made["displayname"], "Carl");
    assert!(text(&made["password"]).len() >= 16);
    let said = desk.says(&["user", "reset-password", "carl"]);
    assert!(said.contains("Password: "), "{said}");
    for (what, field) in [
        ("lock", "locked"),
        ("suspend", "suspended"),
        ("shadow-ban", "shadow_banned"),
        ("admin", "admin"),
    ] {
        for (switch, is_on) in [("on", true), ("off", false)] {
            desk.says(&["user", what, "carl", switch]);
            let shown = desk.told(&["user", "show", "@carl:playhouse.test"]);
            assert_eq!(shown[field], is_on, "{what}");
        }
    }
    let said = desk.says(&["user", "show", "anna"]);
    assert!(said.contains("name: @anna:playhouse.test"), "{said}");
    let rate = desk.told(&["user", "rate", "anna", "--per-second", "3"]);
    assert_eq!(rate, json!({"messages_per_second": 3, "burst_count": 3}));
    desk.says(&["user", "rate", "anna", "--clear"]);
    assert_eq!(desk.told(&["user", "rate", "anna"]), json!({}));
    for look in [
        "whois",
        "devices",
        "rooms",
        "memberships",
        "pushers",
        "media",
    ] {
        desk.says(&["user", look, "anna"]);
        desk.told(&["user", look, "anna"]);
    }
    assert!(
        desk.says(&["user", "deactivate", "carl"])
            .contains("Closed")
    );
    let said = desk.says(&["user", "reopen", "carl"]);
    assert!(
        said.contains("Open again") && said.contains("Password: "),
        "{said}"
    );
    let why = desk.refuses(&["user", "reopen", "carl", "--no-password"]);
    assert!(why.contains("not closed"), "{why}");
    assert!(
        desk.refuses(&["user", "show", "nobody"])
            .contains("M_NOT_FOUND")
    );
    assert!(desk.refuses(&["user", "show", ".."]).contains("M_"));
}

fn what_is_there_stays(desk: &Desk<'_>) {
    let words = ["user", "create", "anna", "--password", "another horse"];
    let why = desk.refuses(&words);
    assert!(why.contains("already"), "{why}");
    // A burst alone would take the bound away.
    desk.refuses(&["user", "rate", "anna", "--burst", "5"]);
    assert_eq!(desk.told(&["user", "rate", "anna"]), json!({}));
}

fn rooms(desk: &Desk<'_>, hall: &str) {
    let said = desk.says(&["room", "list"]);
    assert!(!said.contains('\u{1b}'), "names steer no terminal: {said}");
    assert!(row(&said, hall)[1].starts_with("Hall"), "{said}");
    for look in [
        "show", "members", "state", "messages", "media", "storage", "graph",
    ] {
        desk.says(&["room", look, hall]);
        desk.told(&["room", look, hall]);
    }
    let why = desk.told(&["room", "why", hall, "m.room.create"]);
    assert_eq!(why["in_force"]["type"], "m.room.create");
    desk.says(&["room", "make-admin", hall, "bert"]);
    desk.says(&["room", "block", hall, "on"]);
    desk.says(&["room", "block", hall, "off"]);
    // Who is not in the room can redact nothing there, and that is no success.
    let why = desk.refuses(&["user", "redact", "bert", "--room", hall, "--as-admin"]);
    assert!(why.contains("could not be redacted: "), "{why}");
    desk.says(&["room", "join", hall, "boss"]);
    assert!(desk.told(&["room", "refold", hall])["changed"].is_boolean());
    assert_eq!(desk.told(&["room", "parked", "list", hall]), json!([]));
    let tried = desk.told(&["room", "parked", "retry", hall]);
    assert_eq!(tried["parked"], json!([]));
    let why = desk.refuses(&["room", "parked", "discard", hall, "$none"]);
    assert!(why.contains("M_NOT_FOUND"), "{why}");
    let redacted = desk.told(&["user", "redact", "bert", "--room", hall]);
    assert_eq!(redacted["status"], "complete");
    let purged = desk.told(&["room", "purge", hall, "--older-days", "0"]);
    assert_eq!(purged["status"], "complete");
    desk.refuses(&["room", "purge", hall]);
    let words = [
        "room",
        "delete",
        hall,
        "--block",
        "--new-room-by",
        "boss",
        "--message",
        "It was closed.",
    ];
    let deleted = desk.told(&words);
    assert_eq!(deleted["status"], "complete", "{deleted}");
    assert_eq!(list(&deleted["shutdown_room"]["kicked_users"]).len(), 3);
    assert!(desk.says(&["room", "deletions", hall]).contains("complete"));
    assert!(desk.says(&["tasks"]).contains("shutdown_and_purge_room"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_administered() {
    on_own_servers(&[], async |server| {
        administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let hall = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&hall).await;
        let event_id = anna.say(&hall, "rude").await;
        let desk = logged_in(server, "boss", "correct horse").expect("he is one");
        reports(&desk, (&bert, &hall), &event_id).await;
        media(&desk, (&anna, &hall)).await;
        policies(&desk, (&anna, &bert)).await;
        registration_tokens(&desk);
        what_was_done(&desk, &event_id);
        tools(&desk);
    })
    .await;
}

async fn reports(desk: &Desk<'_>, (bert, hall): (&Client, &str), event_id: &str) {
    let path = room_path(hall, &format!("report/{}", encode(event_id)));
    bert.post(&path, json!({"reason": "rude words"})).await.ok();
    let listed = desk.told(&["report", "list", "--by", "bert"]);
    let id = listed[0]["id"].to_string();
    assert!(desk.says(&["report", "list"]).contains("rude words"));
    let shown = desk.told(&["report", "show", &id]);
    assert_eq!(shown["event_json"]["content"]["body"], "rude");
    desk.says(&["report", "delete", &id]);
    assert_eq!(desk.told(&["report", "list"]), json!([]));
    assert_eq!(desk.told(&["report", "users"]), json!([]));
}

async fn policies(desk: &Desk<'_>, (anna, bert): (&Client, &Client)) {
    let body = json!({"name": "Casino", "invite": [anna.user_id]});
    let room_id = bert.create_room(body).await;
    let inviter = bert.user_id.as_str();
    let bounds = ["--inviter", inviter, "--room-name", "casino*"];
    desk.says(&[["policy", "save", "casino"].as_slice(), bounds.as_slice()].concat());
    assert!(desk.says(&["policy", "list"]).contains("casino"));
    let shown = desk.told(&["policy", "dry-run", "casino"]);
    assert_eq!(shown["sample"][0]["room_id"], json!(room_id));
    let token = text(&shown["token"]);
    let applied = desk.told(&["policy", "apply", "casino", &token]);
    assert_eq!(applied["invites"], 1);
    let change = desk.told(&["audit", "list", "--limit", "1"])[0].clone();
    desk.says(&["audit", "undo", &change["id"].to_string()]);
    let runs = desk.told(&["policy", "runs"]);
    assert_eq!(runs[0]["undone_by"], "@boss:playhouse.test");
    desk.says(&["policy", "delete", "casino"]);
    assert!(
        desk.refuses(&["policy", "dry-run", "casino"])
            .contains("M_NOT_FOUND")
    );
}

async fn media(desk: &Desk<'_>, (anna, hall): (&Client, &str)) {
    let mut pieces = Vec::new();
    for bytes in [b"a".to_vec(), b"bb".to_vec()] {
        let headers = [("content-type", "text/plain")];
        let path = "/_matrix/media/v3/upload";
        let answer = anna.with_headers(reqwest::Method::POST, path, &headers, bytes);
        let uri = text(&answer.await.ok()["content_uri"]);
        let content = json!({"msgtype": "m.file", "body": "a", "url": uri});
        anna.send(hall, "m.room.message", content).await;
        pieces.push(uri);
    }
    desk.says(&["media", "quarantine", &pieces[0], "on"]);
    let shown = desk.told(&["media", "show", &pieces[0]]);
    assert_eq!(
        shown["media_info"]["quarantined_by"],
        "@boss:playhouse.test"
    );
    desk.says(&["media", "quarantine", &pieces[0], "off"]);
    desk.says(&["media", "protect", &pieces[0], "on"]);
    desk.says(&["media", "protect", &pieces[0], "off"]);
    let usage = desk.told(&["media", "usage"]);
    assert_eq!(usage[0]["media_length"], 3);
    let none = desk.told(&["media", "delete-unused", "--days", "1"]);
    assert_eq!(none["total"], 0);
    desk.says(&["media", "purge-cache", "--days", "1"]);
    let gone = desk.told(&["media", "delete-room", hall]);
    assert_eq!(gone, json!({"deleted": 2, "total": 2}));
    // Events show them still, and what is gone already is no failure.
    let gone = desk.told(&["media", "delete-room", hall]);
    assert_eq!(gone["deleted"], 0);
}

fn registration_tokens(desk: &Desk<'_>) {
    let made = desk.told(&["registration-token", "new", "abcd", "--uses", "3"]);
    assert_eq!(
        (&made["token"], &made["uses_allowed"]),
        (&json!("abcd"), &json!(3))
    );
    let set = desk.told(&["registration-token", "set", "abcd", "--days", "2"]);
    assert!(set["expiry_time"].is_u64());
    assert_eq!(
        row(&desk.says(&["registration-token", "list"]), "abcd")[3],
        "3"
    );
    desk.says(&["registration-token", "delete", "abcd"]);
    desk.refuses(&["registration-token", "show", "abcd"]);
}

fn what_was_done(desk: &Desk<'_>, event_id: &str) {
    let journey = desk.told(&["event", "journey", event_id]);
    assert_eq!(journey["verdict"], "accepted");
    desk.says(&["event", "show", event_id]);
    desk.says(&["user", "shadow-ban", "anna", "on"]);
    let change = desk.told(&["audit", "list", "--limit", "1"])[0].clone();
    assert_eq!(change["target"], "@anna:playhouse.test");
    let id = change["id"].to_string();
    desk.says(&["audit", "show", &id]);
    desk.says(&["audit", "undo", &id]);
    assert_eq!(desk.told(&["user", "show", "anna"])["shadow_banned"], false);
    for look in [
        ["destination", "list"].as_slice(),
        &["destination", "list", "--unfinished"],
        &["parked", "list"],
        &["join", "list"],
        &["pushers"],
        &["tasks", "--status", "active"],
        &["largest-rooms"],
        &["version"],
    ] {
        desk.says(look);
        desk.told(look);
    }
    let why = desk.refuses(&["destination", "show", "nowhere.example"]);
    assert!(why.contains("M_NOT_FOUND"), "{why}");
}

/// A tool's token opens this server's own API and nothing else, which is said.
fn tools(desk: &Desk<'_>) {
    let made = desk.told(&["add-token", "a tool", "--roles", "read"]);
    let file = desk.server.data().join("tool.token");
    std::fs::write(&file, text(&made["token"])).expect("the file is written");
    let tool = Desk {
        server: desk.server,
        token_file: file.to_string_lossy().into_owned(),
    };
    tool.says(&["audit", "list"]);
    assert!(
        tool.refuses(&["user", "list"])
            .contains("not one of `add-token`")
    );
    assert!(tool.refuses(&["tokens"]).contains("M_FORBIDDEN"));
    let id = text(&made["id"]);
    assert!(desk.says(&["tokens"]).contains("a tool"));
    desk.says(&["revoke-token", &id]);
    assert!(tool.refuses(&["audit", "list"]).contains("M_UNKNOWN_TOKEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_is_described() {
    on_own_servers(&[], async |server| {
        for shell in ["bash", "zsh", "fish"] {
            let (is_fine, script) = server.command_line(&["completion", shell]);
            assert!(is_fine && script.contains("registration-token"), "{shell}");
        }
        let (is_fine, page) = server.command_line(&["man"]);
        assert!(is_fine && page.contains(".TH "), "{page}");
        let folder = server.data().join("man");
        let place = folder.to_string_lossy();
        let (is_fine, said) = server.command_line(&["man", "--to", &place]);
        assert!(is_fine, "{said}");
        let page = folder.join("playhouse-admin-user-list.1");
        let page = std::fs::read_to_string(page).expect("a page for each command");
        assert!(page.contains("List accounts"), "{page}");
        let (is_fine, said) = server.command_line(&["admin", "user", "list"]);
        assert!(!is_fine && said.contains("playhouse admin login"), "{said}");
        // The first token of a tool may be made while nothing runs.
        server.stop();
        let words = ["admin", "add-token", "first", "--roles", "read,operate"];
        let (is_fine, said) = server.command_line(&words);
        assert!(is_fine && said.contains("Made: "), "{said}");
        let (is_fine, said) = server.command_line(&["admin", "tokens"]);
        assert!(is_fine && said.contains("first (read, operate)"), "{said}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_asks_whether_a_server_is_well() {
    on_own_servers(&[], async |server| {
        let base = server.base().to_owned();
        let place = base.trim_start_matches("http://");
        let mut asking = server.command(&["health"]);
        asking.env("PLAYHOUSE_LISTEN", place);
        let well = asking.output().expect("the program runs");
        assert!(well.status.success(), "{}", utf8(&well.stderr));
        server.stop();
        let gone = asking.output().expect("the program runs");
        let said = utf8(&gone.stderr);
        assert!(!gone.status.success(), "{said}");
        assert!(said.contains("nothing answers at"), "{said}");
    })
    .await;
}

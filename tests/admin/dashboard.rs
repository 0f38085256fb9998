//! The dashboard in a real browser. Pictures of all pages stay in `target/screenshots`.

use reqwest::Method;
use serde_json::json;

use super::{administrator, awaited};
use crate::{
    client::props::{room_path, text},
    harness::{Chromium, Client, TestServer, Town, client::encode},
};

pub(super) const PAGE: &str = "/_playhouse/admin/";

pub(super) const OWN: &str = "/_playhouse/admin/v1";

const SYNAPSE: &str = "/_synapse/admin";

/// A wide screen.
pub(super) const WIDE: u64 = 1280;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// What the menu leads to.
const MENU: [&str; 11] = [
    "Overview",
    "Users",
    "Rooms",
    "Reports",
    "Media",
    "Federation",
    "Cluster",
    "Parked records",
    "Event journey",
    "Audit log",
    "Tokens",
];

/// Waits until a page is there with all that it has asked for.
pub(crate) async fn shown(browser: &Chromium, title: &str) {
    let script = "return !document.querySelector('[aria-busy]') && document.querySelector('h1')?.textContent === arguments[0]";
    browser.wait_until(script, json!([title])).await;
}

/// Goes to a page.
pub(crate) async fn go(browser: &Chromium, (hash, title): (&str, &str)) {
    browser
        .run("location.hash = arguments[0]", json!([hash]))
        .await;
    shown(browser, title).await;
}

async fn open(browser: &Chromium, client: &Client) {
    let page = format!("{}{PAGE}", client.base());
    browser.open_made(&page).await;
    shown(browser, "Sign in").await;
}

/// Opens the dashboard and signs somebody in with the password of all test users.
pub(crate) async fn sign_in(browser: &Chromium, client: &Client) {
    open(browser, client).await;
    fill_in(browser, client).await;
    shown(browser, "Overview").await;
}

async fn fill_in(browser: &Chromium, client: &Client) {
    browser.type_into("User name", &client.user_id).await;
    browser.type_into("Password", "correct horse").await;
    browser.press("Sign in").await;
    let form = "form[aria-label='Sign in with a password']";
    insist(browser, form, true).await;
}

/// Looks closely at the page that is shown, in both themes, on wide and narrow screens.
pub(crate) async fn judge(browser: &Chromium, name: &str) {
    for scheme in ["light", "dark"] {
        browser.look(WIDE, scheme).await;
        browser.accessible(&format!("{name}, {scheme}")).await;
        browser
            .picture(&format!("dashboard-{scheme}-{name}.png"))
            .await;
    }
    browser.inspect(&format!("dashboard-{name}")).await;
}

/// Two servers of a town, of which the first has something for every page.
struct Stage {
    boss: Client,
    /// What pages are called in files, where they are, and their titles.
    pages: Vec<(&'static str, String, String)>,
    _servers: [TestServer; 2],
    _town: Town,
}

impl Stage {
    async fn open() -> Self {
        let town = Town::new(&["one.town", "two.town"]);
        let server = town.open("one.town", &[]).await;
        let other = town.open("two.town", &[]).await;
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, other.register("bert").await];
        let wish = json!({"preset": "public_chat", "name": "Kitchen", "topic": "What we eat"});
        let room_id = anna.create_room(wish).await;
        let join = format!(
            "/_matrix/client/v3/join/{}?server_name=one.town",
            encode(&room_id)
        );
        bert.post(&join, json!({})).await.ok();
        let event_id = anna.say(&room_id, "hello").await;
        let media = furnish(&boss, &anna, (&room_id, &event_id)).await;
        let reports = boss.get(&format!("{SYNAPSE}/v1/event_reports")).await.ok();
        let report = reports["event_reports"][0]["id"].to_string();
        let pages = pages(&anna.user_id, (&room_id, &event_id), (&media, &report));
        Self {
            boss,
            pages,
            _servers: [server, other],
            _town: town,
        }
    }
}

/// Reports, media, changes and a token; gives the address of the media.
async fn furnish(boss: &Client, anna: &Client, (room_id, event_id): (&str, &str)) -> String {
    let reason = json!({"reason": "rude words"});
    let report = room_path(room_id, &format!("report/{}", encode(event_id)));
    anna.post(&report, reason.clone()).await.ok();
    let report = format!("/_matrix/client/v3/users/{}/report", encode(&boss.user_id));
    anna.post(&report, reason).await.ok();
    let headers = [("content-type", "text/plain")];
    let upload = "/_matrix/media/v3/upload?filename=note.txt";
    let uploaded = anna
        .with_headers(Method::POST, upload, &headers, b"a note".to_vec())
        .await
        .ok();
    ban(boss, anna).await;
    let wish = json!({"name": "a tool", "roles": ["read"]});
    boss.post(&format!("{OWN}/tokens"), wish).await.ok();
    text(&uploaded["content_uri"])
}

async fn ban(boss: &Client, anna: &Client) {
    let user_id = encode(&anna.user_id);
    let path = format!("{SYNAPSE}/v1/users/{user_id}/shadow_ban");
    boss.post(&path, json!({})).await.ok();
}

fn pages(
    user_id: &str,
    (room_id, event_id): (&str, &str),
    (media, report): (&str, &str),
) -> Vec<(&'static str, String, String)> {
    let [user, room, event, address] = [user_id, room_id, event_id, media].map(encode);
    let page = |name, hash: &str, title: &str| (name, format!("#/{hash}"), title.to_owned());
    // No two that follow each other have the same title: by that it is known that the next one is there.
    vec![
        page("overview", "", "Overview"),
        page("users", "users", "Users"),
        page("user", &format!("users/{user}"), user_id),
        page("rooms", "rooms", "Rooms"),
        page("room", &format!("rooms/{room}"), room_id),
        page("reports", "reports", "Reports of events"),
        page("reports-of-users", "reports/users", "Reports of users"),
        page(
            "report",
            &format!("reports/event/{report}"),
            &format!("Report {report}"),
        ),
        page("media", "media", "Media"),
        page(
            "media-of-user",
            &format!("media/{user}"),
            &format!("Media of {user_id}"),
        ),
        page("media-piece", &format!("media?address={address}"), "Media"),
        page("federation", "federation", "Federation"),
        page("cluster", "cluster", "Cluster"),
        page("parked", "parked", "Parked records"),
        page("journeys", "journey", "Event journey"),
        page(
            "journey",
            &format!("journey/{event}"),
            &format!("Journey of {event_id}"),
        ),
        page("audit", "audit", "Audit log"),
        page("tokens", "tokens", "Tokens"),
        page("nothing", "nothing", "No such page"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_good_in_both_themes() {
    let stage = Stage::open().await;
    let browser = Chromium::start("en").await;
    open(&browser, &stage.boss).await;
    judge(&browser, "sign-in").await;
    fill_in(&browser, &stage.boss).await;
    shown(&browser, "Overview").await;
    // The graphs live.
    let drawn = "return document.querySelectorAll('.plot polyline').length > 0";
    browser.wait_until(drawn, json!([])).await;
    for (name, hash, title) in &stage.pages {
        go(&browser, (hash, title)).await;
        // What is folded is looked at too.
        let unfold = "document.querySelectorAll('details').forEach((one) => { one.open = true; })";
        browser.run(unfold, json!([])).await;
        judge(&browser, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theme_can_be_chosen() {
    let server = TestServer::start().await;
    let browser = Chromium::start("en").await;
    open(&browser, &server.client()).await;
    browser.look(WIDE, "light").await;
    let choose = "const theme = document.getElementById('theme'); theme.value = arguments[0]; theme.dispatchEvent(new Event('change'))";
    let back = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(back, json!([])).await;
    browser.run(choose, json!(["dark"])).await;
    let dark = browser.run(back, json!([])).await;
    assert_ne!(light, dark);
    // It is remembered, and the system is followed again when that is wanted.
    open(&browser, &server.client()).await;
    assert_eq!(browser.run(back, json!([])).await, dark);
    browser.run(choose, json!(["auto"])).await;
    assert_eq!(browser.run(back, json!([])).await, light);
    browser.look(WIDE, "dark").await;
    let is_dark = "return getComputedStyle(document.body).backgroundColor === arguments[0]";
    browser.wait_until(is_dark, json!([dark])).await;
    browser.complaints().await;
}

/// What has the focus: one of its attributes, or its text.
async fn focused(browser: &Chromium, what: &str) -> String {
    let script = "const it = document.activeElement; return it[arguments[0]].trim()";
    text(&browser.run(script, json!([what])).await)
}

/// Goes on by the tabulator until something has the focus.
async fn walk_to(browser: &Chromium, wanted: &str) {
    for _ in 0..80 {
        browser.keys(TAB).await;
        if focused(browser, "textContent").await == wanted {
            return;
        }
    }
    panic!("the keyboard does not lead to {wanted}");
}

async fn focus_first(browser: &Chromium) {
    let script = "document.getElementById('skip').focus()";
    browser.run(script, json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_is_enough() {
    let server = TestServer::start().await;
    let boss = administrator(&server.client(), "boss").await;
    let anna = server.register("anna").await;
    ban(&boss, &anna).await;
    let browser = Chromium::start("en").await;
    open(&browser, &boss).await;
    for id in ["skip", "theme", "field-user"] {
        browser.keys(TAB).await;
        assert_eq!(focused(&browser, "id").await, id);
    }
    for keys in ["boss", TAB, "correct horse", ENTER] {
        browser.keys(keys).await;
    }
    shown(&browser, "Overview").await;
    focus_first(&browser).await;
    for name in ["Sign out"].iter().chain(&MENU) {
        walk_to(&browser, name).await;
    }
    focus_first(&browser).await;
    browser.keys(ENTER).await;
    assert_eq!(focused(&browser, "id").await, "main");

    focus_first(&browser).await;
    walk_to(&browser, "Audit log").await;
    browser.keys(ENTER).await;
    shown(&browser, "Audit log").await;
    // The heading, once the page is there.
    let is_focused = "return document.activeElement.textContent.trim() === arguments[0]";
    browser.wait_until(is_focused, json!(["Audit log"])).await;
    walk_to(&browser, "Undo").await;
    let is_open = "return (document.querySelector('dialog[open]') !== null) === arguments[0]";
    browser.keys(ENTER).await;
    browser.wait_until(is_open, json!([true])).await;
    // Who presses the key once more by mistake changes nothing.
    assert_eq!(focused(&browser, "textContent").await, "Cancel");
    judge(&browser, "question").await;
    browser.keys(ESCAPE).await;
    browser.wait_until(is_open, json!([false])).await;
    assert_eq!(focused(&browser, "textContent").await, "Undo");
    browser.keys(ENTER).await;
    browser.wait_until(is_open, json!([true])).await;
    walk_to(&browser, "Take it back").await;
    browser.keys(ENTER).await;
    browser.wait_for("It is taken back.").await;
    let path = format!("{SYNAPSE}/v2/users/{}", encode(&anna.user_id));
    assert_eq!(boss.get(&path).await.ok()["shadow_banned"], false);
    browser.complaints().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_rooms_are_looked_after() {
    let server = TestServer::start().await;
    let boss = administrator(&server.client(), "boss").await;
    let anna = server.register("anna").await;
    let room_id = boss.create_room(json!({"name": "Kitchen"})).await;
    let browser = Chromium::start("en").await;
    browser.look(WIDE, "light").await;
    sign_in(&browser, &boss).await;
    go(&browser, ("#/users", "Users")).await;
    browser.type_into("User ID or name has in it", "ann").await;
    browser.press("Show").await;
    browser.wait_for("1 to 1 of 1").await;
    browser.press(&anna.user_id).await;
    shown(&browser, &anna.user_id).await;
    confirm(&browser, "Lock").await;
    browser.wait_for("It is done.").await;
    browser.press("Unlock").await;
    let whoami = "/_matrix/client/v3/account/whoami";
    anna.get(whoami).await.refused(401, "M_USER_LOCKED");

    let hash = format!("#/rooms/{}", encode(&room_id));
    browser.press("Cancel").await;
    go(&browser, (&hash, &room_id)).await;
    browser.wait_for("Kitchen").await;
    browser.press("Delete the room").await;
    // What cannot be taken back takes more than two presses.
    say_yes(&browser).await;
    are_rooms_of(&boss, 1).await;
    browser
        .type_into(&format!("Type {room_id} to go on"), &room_id)
        .await;
    submit(&browser).await;
    browser.wait_for("Deletion: complete.").await;
    are_rooms_of(&boss, 0).await;
    // A link that somebody sends leads to no other endpoint.
    go(&browser, ("#/users/..", "..")).await;
    browser.wait_for("This names nothing").await;
    browser.complaints().await;
}

/// Waits until somebody is in so many rooms.
async fn are_rooms_of(boss: &Client, count: usize) {
    let user_id = encode(&boss.user_id);
    let path = format!("{SYNAPSE}/v1/users/{user_id}/joined_rooms");
    awaited(boss, &path, |told| told["total"] == count).await;
}

/// Waits until the one question that is open can be answered, and presses its button.
async fn say_yes(browser: &Chromium) {
    let press = "const all = document.querySelectorAll('dialog'); const go = all.length === 1 && all[0].open && all[0].querySelector('button[type=submit]'); if (!go || go.disabled) return false; go.click(); return true";
    browser.wait_until(press, json!([])).await;
}

/// The same, and waits until it is done.
pub(crate) async fn submit(browser: &Chromium) {
    say_yes(browser).await;
    insist(browser, "dialog", false).await;
}

/// Waits until what was sent by a form is done, by which the form goes away, or maybe is refused. Who is told that the server is busy or cannot be reached
/// sends it once more.
async fn insist(browser: &Chromium, form: &str, may_be_refused: bool) {
    let script = "const form = document.querySelector(arguments[0]); if (!form) return true; const go = form.querySelector('button[type=submit]'); const said = form.querySelector('.notice.error')?.textContent ?? ''; if (!said || go.disabled) return false; if (!/cannot be reached|[(]503/.test(said)) return arguments[1]; go.click(); return false";
    browser
        .wait_until(script, json!([form, may_be_refused]))
        .await;
}

/// Presses a button and says yes.
async fn confirm(browser: &Chromium, name: &str) {
    let is_none_open = "return document.querySelector('dialog') === null";
    browser.wait_until(is_none_open, json!([])).await;
    browser.press(name).await;
    submit(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_it_may() {
    let server = TestServer::start().await;
    let boss = administrator(&server.client(), "boss").await;
    let anna = server.register("anna").await;
    let browser = Chromium::start("en").await;
    open(&browser, &anna).await;
    fill_in(&browser, &anna).await;
    browser.wait_for("only for server administrators").await;
    // Nothing is left of the session that was of no use.
    awaited(&anna, "/_matrix/client/v3/devices", |told| {
        told["devices"].as_array().map(Vec::len) == Some(1)
    })
    .await;

    browser.type_into("Token", "nonsense").await;
    browser.press("Use the token").await;
    browser.wait_for("M_UNKNOWN_TOKEN").await;
    browser.forgive().await;
    let wish = json!({"name": "viewer", "roles": ["read"]});
    let made = boss.post(&format!("{OWN}/tokens"), wish).await.ok();
    browser.type_into("Token", &text(&made["token"])).await;
    browser.press("Use the token").await;
    shown(&browser, "Overview").await;
    go(&browser, ("#/users", "Users")).await;
    browser.wait_for("the tokens of tools open").await;
    go(&browser, ("#/tokens", "Tokens")).await;
    browser.wait_for("This takes the role operate").await;
    judge(&browser, "tool").await;

    let id = text(&made["id"]);
    boss.delete(&format!("{OWN}/tokens/{id}")).await.ok();
    go(&browser, ("#/audit", "Sign in")).await;
    let kept = "return sessionStorage.length + [...Array(localStorage.length).keys()].map((at) => localStorage.key(at)).join()";
    assert_eq!(browser.run(kept, json!([])).await, "0");
}

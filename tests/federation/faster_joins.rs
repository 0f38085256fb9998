//! Joins that do not wait for the members of the room (MSC3706, MSC3902): what goes on before they are known, and that they come in the end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::crowd::{join_path, look_when_whole};
use crate::{
    client::props::{filter, ids, list, members, next_batch, of_type},
    harness::{
        Client, TestServer,
        client::encode,
        crowd::{Arrival, CREATOR, CROWD, Crowd, HELD, ROOM, Telling, member},
        made::id_of,
        nodes_wished,
        peer::ask_as,
    },
};

/// Another server in the room.
const ASIDE: &str = "aside.test";

/// So many members are in the room, besides who made it and the other server's guest.
const MEMBERS: usize = 12;

/// What a test waits for comes within this time: the server's pauses grow.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who has not asked for so long, asks no more.
const QUIET: Duration = Duration::from_secs(10);

/// A server of ours whose user has just come into the room of the crowd.
struct Scene {
    crowd: Crowd,
    ours: TestServer,
    anna: Client,
}

impl Scene {
    /// The server that lets in answers so when it is asked for the state.
    async fn open(tellings: &[Telling]) -> Self {
        let crowd = Crowd::gather(MEMBERS, &[ASIDE]).await;
        crowd.tell_state(CROWD, tellings);
        let ours = crowd.open().await;
        let anna = ours.register("anna").await;
        anna.post(&join_path(), json!({})).await.ok();
        assert_eq!(crowd.omissions(), 1, "the server can do without members");
        Self { crowd, ours, anna }
    }

    /// The state is told from now on.
    fn release(&self) {
        self.crowd.tell_state(CROWD, &[Telling::Whole]);
    }

    /// Our user's words reach the other servers, also those of which no member is known.
    async fn is_heard(&self, text: &str) -> String {
        let said = self.anna.say(ROOM, text).await;
        for name in [CROWD, ASIDE] {
            let is_it = |event: &Value| id_of(event) == said;
            self.crowd.peers.await_event(name, is_it).await;
        }
        said
    }

    /// Our user hears a member.
    async fn hears(&self, user_id: &str, text: &str) -> String {
        let content = json!({"msgtype": "m.text", "body": text});
        let wish = json!({ "content": content });
        let said = self.crowd.send(&self.anna, user_id, wish).await;
        let is_shown = |answer: &Value| timeline(answer).contains(&said);
        self.anna.sync_anew_until("", is_shown).await;
        said
    }

    /// Our user leaves, and the others hear of it.
    async fn leaves(&self) {
        self.anna.leave(ROOM).await;
        for name in [CROWD, ASIDE] {
            let is_leave = |event: &Value| {
                let membership = &event["content"]["membership"];
                event["state_key"] == self.anna.user_id.as_str() && *membership == "leave"
            };
            self.crowd.peers.await_event(name, is_leave).await;
        }
    }

    /// Asks for what needs all members.
    fn wants(&self, what: &'static str) -> JoinHandle<Value> {
        let anna = self.anna.clone();
        tokio::spawn(async move { look_when_whole(&anna, what).await })
    }

    /// All members are in the room, and nobody else: as our user is told in all ways.
    async fn has_all(&self, all: &BTreeSet<String>) {
        let joined = look_when_whole(&self.anna, "joined_members").await;
        assert_eq!(joined_of(&joined), *all);
        let events = look_when_whole(&self.anna, "members?membership=join").await;
        let known: BTreeSet<_> = members(&events["chunk"]).into_iter().collect();
        assert_eq!(known, *all);
        let count = json!(all.len());
        let is_whole = |answer: &Value| {
            let room = &answer["rooms"]["join"][ROOM];
            room["summary"]["m.joined_member_count"] == count
                && all.is_subset(&members_told(answer))
        };
        self.anna.sync_anew_until("", is_whole).await;
    }

    /// Waits for what the servers have noticed.
    async fn until(&self, what: &str, is_so: impl Fn(&Crowd) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.crowd) {
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nobody has asked for the state for a while.
    async fn asks_no_more(&self) {
        let begun = Instant::now();
        let (mut count, mut since) = (self.crowd.state_requests(), begun);
        while since.elapsed() < QUIET {
            assert!(begun.elapsed() < PATIENCE, "it goes on asking");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.crowd.state_requests();
            if now != count {
                (count, since) = (now, Instant::now());
            }
        }
    }
}

/// Everybody who was in the room when it was made, and our user.
fn everybody() -> BTreeSet<String> {
    let mut all: BTreeSet<_> = (0..MEMBERS).map(member).collect();
    let further = [CREATOR, "@guest:aside.test", "@anna:playhouse.test"];
    all.extend(further.map(ToOwned::to_owned));
    all
}

fn joined_of(answer: &Value) -> BTreeSet<String> {
    let joined = answer["joined"].as_object().expect("members");
    joined.keys().cloned().collect()
}

/// The IDs of a sync's events in the room's timeline.
fn timeline(answer: &Value) -> Vec<String> {
    let events = &answer["rooms"]["join"][ROOM]["timeline"]["events"];
    if events.is_null() {
        return Vec::new();
    }
    ids(events)
}

/// The users whose member events are in a sync of the room, in its state or in its timeline.
fn members_told(answer: &Value) -> BTreeSet<String> {
    let room = &answer["rooms"]["join"][ROOM];
    let lists = ["state", "timeline"].map(|list| &room[list]["events"]);
    let lists = lists.into_iter().filter(|list| !list.is_null());
    lists.flat_map(members).collect()
}

fn lazy() -> String {
    filter(&json!({"room": {"state": {"lazy_load_members": true}}}))
}

/// Syncs on until a room has told all these members, beside those that were told before.
async fn tells_members(
    client: &Client,
    since: &str,
    (mut told, all): (BTreeSet<String>, &BTreeSet<String>),
) {
    let (begun, mut since) = (Instant::now(), since.to_owned());
    while !all.is_subset(&told) {
        assert!(begun.elapsed() < PATIENCE, "only {told:?} are told");
        let answer = client.sync(Some(&since), "timeout=2000").await;
        told.extend(members_told(&answer));
        since = next_batch(&answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_used_before_its_members_are_known() {
    let scene = Scene::open(HELD).await;
    let anna = &scene.anna;
    let has_room = |answer: &Value| answer["rooms"]["join"][ROOM].is_object();
    for query in [String::new(), lazy()] {
        let shown = anna.sync_anew_until(&query, has_room).await;
        let state = &shown["rooms"]["join"][ROOM]["state"]["events"];
        assert_eq!(of_type(state, "m.room.name")["content"]["name"], "Crowd");
        let rules = of_type(state, "m.room.join_rules");
        assert_eq!(rules["content"]["join_rule"], "public");
        assert!(!members_told(&shown).contains(&member(5)), "{shown}");
    }
    let before = anna.sync_anew_until("", has_room).await;
    let ours = scene.is_heard("is anybody here?").await;
    let query = lazy();
    let told_ours = |answer: &Value| timeline(answer).contains(&ours);
    let lazily = anna.sync_anew_until(&query, told_ours).await;
    let theirs = scene.hears(&member(7), "seven is").await;
    // Whoever speaks is told with what they say.
    let told_theirs = |answer: &Value| timeline(answer).contains(&theirs);
    let since = next_batch(&lazily);
    let shown = anna.sync_until(&since, &query, told_theirs).await;
    assert!(members_told(&shown).contains(&member(7)), "{shown}");
    let shown = anna.sync_anew_until(&query, told_theirs).await;
    assert!(members_told(&shown).contains(&member(7)), "{shown}");
    let joined = scene.wants("joined_members");
    scene.is_heard("who else?").await;
    assert!(!joined.is_finished(), "nobody knows all members yet");
    assert_eq!(scene.crowd.states_told(), 0);
    scene.release();
    let joined = joined.await.expect("it does not panic");
    assert_eq!(joined_of(&joined), everybody());
    scene.has_all(&everybody()).await;
    let told = (members_told(&before), &everybody());
    tells_members(anna, &next_batch(&before), told).await;
    let shown = anna.sync(None, "").await;
    let timeline = timeline(&shown);
    assert!(timeline.contains(&ours), "{shown}");
    assert!(timeline.contains(&theirs), "{shown}");
    // And it is a room like others.
    scene.hears("@guest:aside.test", "me, too").await;
    scene.is_heard("welcome").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_needs_all_members_waits_for_them() {
    let scene = Scene::open(HELD).await;
    let wants = ["members", "joined_members", "state"].map(|what| scene.wants(what));
    let of = |what: &str, rest: String| {
        let (room, anna) = (encode(ROOM), scene.anna.clone());
        let path = format!("/_matrix/federation/v1/{what}/{room}{rest}");
        tokio::spawn(async move {
            let begun = Instant::now();
            loop {
                let answer = ask_as(ASIDE, &anna, (Method::GET, &path), None).await;
                if answer.status != 503 {
                    return answer.ok();
                }
                assert!(begun.elapsed() < PATIENCE, "{path} is never answered");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    let said = scene.is_heard("what do you want?").await;
    let about = format!("?event_id={}", encode(&said));
    let user = encode("@other:aside.test");
    let state = of("state", about.clone());
    let state_ids = of("state_ids", about);
    let template = of("make_join", format!("/{user}?ver=11"));
    scene.hears(&member(1), "I want nothing").await;
    scene.is_heard("and they want all").await;
    let asked = wants.iter().chain([&state, &state_ids, &template]);
    for asked in asked {
        assert!(!asked.is_finished(), "it cannot be known yet");
    }
    scene.release();
    let [all, joined, whole] = wants;
    let all = all.await.expect("it does not panic");
    let known: BTreeSet<_> = members(&all["chunk"]).into_iter().collect();
    assert_eq!(known, everybody());
    let joined = joined.await.expect("it does not panic");
    assert_eq!(joined_of(&joined), everybody());
    let whole = whole.await.expect("it does not panic");
    let known: BTreeSet<_> = members(&whole).into_iter().collect();
    assert_eq!(known, everybody());
    let state = state.await.expect("it does not panic");
    let known: BTreeSet<_> = members(&state["pdus"]).into_iter().collect();
    assert_eq!(known, everybody());
    let state_ids = state_ids.await.expect("it does not panic");
    let (there, here) = (list(&state_ids["pdu_ids"]), list(&state["pdus"]));
    assert_eq!(there.len(), here.len());
    let template = template.await.expect("it does not panic");
    assert_eq!(template["event"]["state_key"], "@other:aside.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_also_after_a_crash() {
    let mut scene = Scene::open(HELD).await;
    let before = scene.is_heard("before").await;
    let heard = scene.hears(&member(2), "heard before").await;
    scene.ours.kill();
    let asked = scene.crowd.state_requests();
    scene.ours.start_again();
    scene.anna = scene.anna.at(scene.ours.base());
    // Nobody has to ask for the room.
    let asks = |crowd: &Crowd| crowd.state_requests() > asked;
    scene.until("the state is asked for again", asks).await;
    let after = scene.is_heard("after").await;
    let also_heard = scene.hears(&member(7), "heard after").await;
    let all = [before, heard, after, also_heard];
    let has_all = |answer: &Value| {
        let shown = timeline(answer);
        all.iter().all(|event_id| shown.contains(event_id))
    };
    scene.anna.sync_anew_until("", has_all).await;
    scene.release();
    let is_told = |crowd: &Crowd| crowd.states_told() > 0;
    scene.until("the state is told", is_told).await;
    scene.has_all(&everybody()).await;
    scene.anna.sync_anew_until("", has_all).await;
    // Once is enough, and it holds.
    let told = scene.crowd.states_told();
    scene.ours.kill();
    scene.ours.start_again();
    scene.anna = scene.anna.at(scene.ours.base());
    scene.has_all(&everybody()).await;
    scene.is_heard("after all").await;
    assert_eq!(scene.crowd.states_told(), told);
}

async fn asked_again_after(tellings: &[Telling]) {
    let mut all = tellings.to_vec();
    all.push(Telling::Whole);
    let scene = Scene::open(&all).await;
    scene.has_all(&everybody()).await;
    // Who gets the room from another node while that asks, asks too.
    let told = scene.crowd.states_told();
    assert!((1..=nodes_wished()).contains(&told), "{tellings:?}: {told}");
    let asked = scene.crowd.state_requests();
    assert!(asked > tellings.len(), "{tellings:?}: {asked} questions");
    scene.hears(&member(7), "here").await;
    scene.is_heard("good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_the_state_is_asked_again() {
    asked_again_after(&[Telling::Refused(404), Telling::Refused(503)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tells_rubbish_is_asked_again() {
    asked_again_after(&[Telling::Noise, Telling::WrongTypes]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_none_is_not_believed() {
    asked_again_after(&[Telling::Empty, Telling::Unsigned]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_tells_the_state() {
    let scene = Scene::open(HELD).await;
    scene.is_heard("who knows?").await;
    scene.crowd.tell_state(ASIDE, &[Telling::Whole]);
    scene.has_all(&everybody()).await;
    scene.hears("@guest:aside.test", "I know").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_members_have_read_waits_until_they_are_known() {
    let scene = Scene::open(HELD).await;
    let said = scene.is_heard("who reads this?").await;
    let read = json!({"event_ids": [said], "data": {"ts": 1}});
    let content = json!({ROOM: {"m.read": {member(3): read}}});
    let edus = json!([{"edu_type": "m.receipt", "content": content}]);
    let body = json!({"pdus": [], "edus": edus}).to_string();
    let path = "/_matrix/federation/v1/send/read";
    let sent = ask_as(CROWD, &scene.anna, (Method::PUT, path), Some(&body));
    assert_eq!(sent.await.ok(), json!({"pdus": {}}));
    scene.release();
    let is_told = |answer: &Value| {
        let ephemeral = answer["rooms"]["join"][ROOM]["ephemeral"]["events"].as_array();
        let mut receipts = ephemeral.into_iter().flatten();
        receipts.any(|told| !told["content"][&said]["m.read"][member(3)].is_null())
    };
    scene.anna.sync_anew_until("", is_told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_asks_no_more_and_may_come_back() {
    let scene = Scene::open(HELD).await;
    let anna = &scene.anna;
    let is_shown = |answer: &Value| answer["rooms"]["join"][ROOM].is_object();
    let since = next_batch(&anna.sync_anew_until("", is_shown).await);
    scene.leaves().await;
    let is_left = |answer: &Value| answer["rooms"]["leave"][ROOM].is_object();
    anna.sync_until(&since, "", is_left).await;
    scene.asks_no_more().await;
    let rooms = anna.get("/_matrix/client/v3/joined_rooms").await.ok();
    assert_eq!(list(&rooms["joined_rooms"]), &[] as &[Value]);
    anna.post(&join_path(), json!({})).await.ok();
    assert_eq!(scene.crowd.omissions(), 2);
    anna.sync_anew_until("", is_shown).await;
    scene.is_heard("back again").await;
    scene.hears(&member(7), "welcome back").await;
    scene.release();
    scene.has_all(&everybody()).await;
    scene.is_heard("and now with all").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_while_the_state_is_on_its_way_is_told_all_members() {
    let scene = Scene::open(&[Telling::Late]).await;
    let anna = &scene.anna;
    let asks = |crowd: &Crowd| crowd.state_requests() > 0;
    scene.until("the state is asked for", asks).await;
    scene.leaves().await;
    scene.crowd.tell_state(CROWD, &[Telling::Whole]);
    anna.post(&join_path(), json!({})).await.ok();
    let is_shown = |answer: &Value| answer["rooms"]["join"][ROOM].is_object();
    let shown = anna.sync_anew_until("", is_shown).await;
    // This was asked for the first time that somebody came in.
    scene.crowd.answer_the_late();
    let told = (members_told(&shown), &everybody());
    // Nobody has to ask for the members.
    tells_members(anna, &next_batch(&shown), told).await;
    scene.has_all(&everybody()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tells_all_at_once_is_not_asked_again() {
    for arrival in [Arrival::Whole, Arrival::Old] {
        let crowd = Crowd::gather(MEMBERS, &[ASIDE]).await;
        crowd.let_in(arrival);
        let ours = crowd.open().await;
        let anna = ours.register("anna").await;
        anna.post(&join_path(), json!({})).await.ok();
        let joined = anna.look(ROOM, "joined_members").await.ok();
        assert_eq!(joined_of(&joined), everybody(), "{arrival:?}");
        let scene = Scene { crowd, ours, anna };
        scene.has_all(&everybody()).await;
        scene.hears(&member(7), "hello").await;
        scene.is_heard("hello").await;
        assert_eq!(scene.crowd.state_requests(), 0, "{arrival:?}");
    }
}

/// A member event: who changes whose membership to what.
fn change(target: &str, membership: &str) -> Value {
    json!({"type": "m.room.member", "state_key": target, "content": {"membership": membership}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_before_the_members_are_known_stays_changed() {
    let scene = Scene::open(HELD).await;
    let (gone, kicked, late) = (member(3), member(4), "@late:crowd.test");
    let changes = [
        (gone.as_str(), gone.as_str(), "leave"),
        (CREATOR, kicked.as_str(), "leave"),
        (late, late, "join"),
    ];
    for (sender, target, membership) in changes {
        let wish = change(target, membership);
        let changed = scene.crowd.send(&scene.anna, sender, wish).await;
        let is_shown = |answer: &Value| timeline(answer).contains(&changed);
        scene.anna.sync_anew_until("", is_shown).await;
    }
    let name =
        json!({"type": "m.room.name", "state_key": "", "content": {"name": "Smaller crowd"}});
    scene.crowd.send(&scene.anna, CREATOR, name).await;
    scene.release();
    let mut all = everybody();
    all.remove(&gone);
    all.remove(&kicked);
    all.insert(late.to_owned());
    scene.has_all(&all).await;
    let name = scene.anna.look(ROOM, "state/m.room.name").await.ok();
    assert_eq!(name["name"], "Smaller crowd");
    let left = look_when_whole(&scene.anna, "members?membership=leave").await;
    let left: BTreeSet<_> = members(&left["chunk"]).into_iter().collect();
    assert_eq!(left, BTreeSet::from([gone, kicked]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_behind_a_gap_is_taken_in_when_the_members_are_known() {
    let scene = Scene::open(HELD).await;
    let wish = json!({"content": {"msgtype": "m.text", "body": "behind a gap"}});
    let sender = member(1);
    let sent = scene.crowd.send_behind_gap(&scene.anna, &sender, wish);
    let (behind, outcome) = sent.await;
    assert!(outcome["error"].is_string(), "{outcome}");
    scene.crowd.tell_missing();
    scene.release();
    look_when_whole(&scene.anna, "joined_members").await;
    let is_shown = |answer: &Value| {
        let shown = timeline(answer);
        behind.iter().all(|event_id| shown.contains(event_id))
    };
    scene.anna.sync_anew_until("", is_shown).await;
}

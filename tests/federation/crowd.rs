//! Joining a room in which many others are.
//!
//! 60 others, as unoptimised every signature takes some 20 ms, and 5 servers that die meanwhile; `PLAYHOUSE_TEST_CROWD_MEMBERS` and
//! `PLAYHOUSE_TEST_CROWD_KILLS` ask for more. What it took is printed, never judged: how fast a machine is says nothing about the program.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    client::props::room_path,
    harness::{
        Client, TestServer,
        client::encode,
        crowd::{Arrival, CROWD, Crowd, ROOM},
        wish,
    },
};

/// So many messages, before and again afterwards, tell how fast another room is.
const MESSAGES: usize = 600;

/// Messages of a server that has just started, which say nothing about those that follow.
const WARM_UP: usize = 100;

/// So many of the slowest messages are told.
const SLOWEST: usize = 12;

/// The members of a room are known within this time.
const WHOLE_WITHIN: Duration = Duration::from_secs(600);

fn members() -> usize {
    wish("PLAYHOUSE_TEST_CROWD_MEMBERS").unwrap_or(60)
}

pub(super) fn join_path() -> String {
    format!(
        "/_matrix/client/v3/join/{}?server_name={CROWD}&via={CROWD}",
        encode(ROOM)
    )
}

/// Joins, however long it takes; answers whether the server lived to tell.
async fn join(client: &Client) -> bool {
    let path = join_path();
    for _ in 0..20 {
        let asked = client.try_request(reqwest::Method::POST, &path, Some(json!({})));
        match asked.await {
            Ok(answer) => {
                assert_eq!(answer.ok()["room_id"], ROOM);
                return true;
            }
            Err(error) if error.is_timeout() => {}
            Err(_) => return false,
        }
    }
    false
}

async fn is_joined(client: &Client) -> bool {
    let joined = client.get("/_matrix/client/v3/joined_rooms").await.ok();
    let rooms = joined["joined_rooms"].as_array().cloned();
    rooms.unwrap_or_default().contains(&Value::from(ROOM))
}

/// Asks for what needs all members of the room, as long as the server does not know them.
pub(super) async fn look_when_whole(client: &Client, what: &str) -> Value {
    let (path, begun) = (room_path(ROOM, what), Instant::now());
    loop {
        let asked = client.try_request(reqwest::Method::GET, &path, None).await;
        match asked {
            Ok(answer) if answer.status != 503 => return answer.ok(),
            Ok(_) => {}
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
        assert!(begun.elapsed() < WHOLE_WITHIN, "{what} is never told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What somebody says is shown.
async fn talks(client: &Client) {
    let said = client.say(ROOM, "hello").await;
    let is_shown = |answer: &Value| {
        let timeline = &answer["rooms"]["join"][ROOM]["timeline"]["events"];
        let mut events = timeline.as_array().into_iter().flatten();
        events.any(|event| event["event_id"] == said.as_str())
    };
    client.sync_anew_until("", is_shown).await;
}

/// Everybody is in the room.
async fn is_told_all(client: &Client) {
    let joined = look_when_whole(client, "joined_members").await;
    let joined = joined["joined"].as_object().map(serde_json::Map::len);
    // The creator and the joiner come on top.
    assert_eq!(joined, Some(members() + 2));
}

/// The room is whole: everybody is in it, and there is talk.
async fn is_whole(client: &Client) {
    is_told_all(client).await;
    talks(client).await;
}

/// How long messages in a room take, shortest first, and when each was sent.
async fn speak(
    client: &Client,
    room_id: &str,
    is_over: impl Fn(usize) -> bool,
) -> Vec<(Duration, Instant)> {
    let mut times = Vec::new();
    while !is_over(times.len()) {
        let begun = Instant::now();
        client.say(room_id, "tick").await;
        times.push((begun.elapsed(), begun));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    times
}

/// The same on a thread of its own, which waits for nothing else that this program does: other users are on machines of their own.
async fn speak_apart(
    client: &Client,
    room_id: &str,
    is_over: impl Fn(usize) -> bool + Send + 'static,
) -> Vec<(Duration, Instant)> {
    let (client, room_id) = (client.afresh(), room_id.to_owned());
    let (told, times) = oneshot::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        told.send(runtime.block_on(speak(&client, &room_id, is_over)))
    });
    times.await.expect("it does not panic")
}

/// Runs a test whose other tasks, which are on other machines elsewhere, give way on this one to the server, as far as the system knows of that.
fn run_apart(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.on_thread_start(|| {
        #[cfg(target_os = "linux")]
        rustix::process::nice(10).expect("a thread may have less");
    });
    let runtime = runtime.enable_all().build().expect("a runtime");
    runtime.block_on(test);
}

fn p99(times: &[(Duration, Instant)]) -> Duration {
    times[(times.len() * 99 / 100).min(times.len() - 1)].0
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
async fn joined_while_others_talk(arrival: Arrival) {
    let crowd = Crowd::gather(members(), &[]).await;
    crowd.let_in(arrival);
    let ours = crowd.open().await;
    let (anna, bert) = (ours.register("anna").await, ours.register("bert").await);
    let other = bert.create_room(json!({"preset": "private_chat"})).await;
    speak_apart(&bert, &other, |count| count >= WARM_UP).await;
    let mut quiet = speak_apart(&bert, &other, |count| count >= MESSAGES).await;
    let before = p99(&quiet);
    let (idle_bytes, begun) = (ours.peak_bytes(), Instant::now());
    let whole = tokio::spawn({
        let anna = anna.clone();
        async move {
            assert!(join(&anna).await);
            let joined = begun.elapsed();
            talks(&anna).await;
            let talked = begun.elapsed();
            is_told_all(&anna).await;
            let told = Instant::now();
            talks(&anna).await;
            (joined, talked, told)
        }
    });
    let joining = whole.abort_handle();
    let is_over = move |count| joining.is_finished() && count >= 10;
    let busy = speak_apart(&bert, &other, is_over).await;
    let (joined, talked, told) = whole.await.expect("it does not panic");
    let (mut until_told, whole) = (busy.clone(), told - begun);
    until_told.retain(|(_, at)| *at < told);
    let peak_bytes = ours.peak_bytes();
    let after = speak_apart(&bert, &other, |count| count >= MESSAGES).await;
    quiet.extend(&after);
    quiet.sort();
    let base = p99(&quiet).as_secs_f64();
    println!(
        "{} members, {arrival:?}: joined after {joined:?}, first message shown after {talked:?}, all members told after {whole:?}, memory peak {} MiB (before: \
         {} MiB), others' p99 {before:?} before, {:?} meanwhile ({} messages) and {:?} afterwards: {:.2} of its base; {:.2} with what a client asks that reads \
         all of it anew; median {:?} and {:?} meanwhile, keys asked {} times",
        members(),
        peak_bytes >> 20,
        idle_bytes >> 20,
        p99(&until_told),
        until_told.len(),
        p99(&after),
        p99(&until_told).as_secs_f64() / base,
        p99(&busy).as_secs_f64() / base,
        quiet[quiet.len() / 2].0,
        until_told[until_told.len() / 2].0,
        crowd.key_requests(),
    );
    let slowest = busy.iter().rev().take(SLOWEST);
    let slowest: Vec<_> = slowest.map(|(time, at)| (*time, *at - begun)).collect();
    println!("the slowest of others' messages, and when they were sent: {slowest:?}");
    assert!(crowd.key_requests() <= 2, "{}", crowd.key_requests());
}

#[test]
fn a_large_room_is_joined_while_others_talk() {
    run_apart(joined_while_others_talk(Arrival::Whole));
}

#[test]
fn a_large_room_whose_members_come_later_is_joined_while_others_talk() {
    run_apart(joined_while_others_talk(Arrival::Lean));
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
async fn cut_short(arrival: Arrival) {
    let kills: usize = wish("PLAYHOUSE_TEST_CROWD_KILLS").unwrap_or(5);
    let whole_ms = {
        let crowd = Crowd::gather(members(), &[]).await;
        crowd.let_in(arrival);
        let ours = crowd.open().await;
        let anna = ours.register("anna").await;
        let begun = Instant::now();
        assert!(join(&anna).await);
        look_when_whole(&anna, "joined_members").await;
        u64::try_from(begun.elapsed().as_millis()).expect("it does not take ages")
    };
    let mut done = 0;
    for kill in 0..kills {
        // A room in which nobody of the servers before is.
        let crowd = Crowd::gather(members(), &[]).await;
        crowd.let_in(arrival);
        let mut ours = crowd.open().await;
        let anna = ours.register("anna").await;
        // From early to late in what a join takes.
        let wait = whole_ms * (2 * kill as u64 + 1) / (2 * kills as u64);
        let joining = tokio::spawn({
            let anna = anna.clone();
            async move { join(&anna).await }
        });
        tokio::time::sleep(Duration::from_millis(wait)).await;
        ours.kill();
        joining.await.expect("it does not panic");
        done += usize::from(after_the_kill(&mut ours, &anna).await);
    }
    println!("{arrival:?}: {done} of {kills} joins were done when the server was killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_cut_short_is_done_or_undone() {
    cut_short(Arrival::Whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_whose_members_come_later_is_done_or_undone_when_it_is_cut_short() {
    cut_short(Arrival::Lean).await;
}

/// The user is in the room or is not: then a new attempt brings them in, unless the server has gone on with the first one before.
async fn after_the_kill(ours: &mut TestServer, anna: &Client) -> bool {
    ours.start_again();
    let anna = anna.at(ours.base());
    let was_done = is_joined(&anna).await;
    if !was_done {
        assert!(join(&anna).await);
    }
    is_whole(&anna).await;
    was_done
}

/// Waits until so many joins have come to the crowd's server.
async fn sent(crowd: &Crowd, count: usize) {
    let begun = Instant::now();
    while crowd.omissions() < count {
        assert!(begun.elapsed() < WHOLE_WITHIN, "no join is sent");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_whose_answer_nobody_heard_is_gone_on_with() {
    for arrival in [Arrival::Whole, Arrival::Lean] {
        let crowd = Crowd::gather(3, &[]).await;
        crowd.let_in(arrival);
        crowd.keep_silent(true);
        let mut ours = crowd.open().await;
        let anna = ours.register("anna").await;
        let joining = tokio::spawn({
            let anna = anna.clone();
            async move { join(&anna).await }
        });
        // For the others the user is in the room from now on.
        sent(&crowd, 1).await;
        ours.kill();
        assert!(!joining.await.expect("it does not panic"));
        crowd.keep_silent(false);
        ours.start_again();
        let anna = anna.at(ours.base());
        // Nobody asks again.
        let is_in = |answer: &Value| answer["rooms"]["join"][ROOM].is_object();
        anna.sync_anew_until("", is_in).await;
        assert_eq!(crowd.omissions(), 2);
        look_when_whole(&anna, "joined_members").await;
        talks(&anna).await;
    }
}

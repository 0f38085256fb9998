//! Events that rest on others which nobody knows, and servers that tell nonsense when they are asked for those.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{EVIL, Scene, guest::Guest};
use crate::{
    client::props::text,
    harness::{
        made::Made,
        script::{Asked, Reply},
    },
};

/// What a question is about: the last segment of its path.
fn last_segment(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let segment = path.rsplit('/').next().unwrap_or_default();
    segment.replace("%24", "$")
}

/// An event whose predecessor nobody has.
fn loose(eve: &Guest, number: usize) -> Made {
    let prev = format!("$unknown{number}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let prev = &prev[..44];
    eve.event(json!({"prev_events": [prev], "content": {"body": format!("loose {number}")}}))
}

/// Counts what the hostile server is asked, and has it answer so.
fn answering(
    scene: &Scene,
    answer: impl Fn(&Asked<'_>, usize) -> Option<Reply> + Send + Sync + 'static,
) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    scene.peers.follow(move |asked| {
        let is_evil = asked.name == EVIL && asked.path.starts_with("/_matrix/federation/");
        if !is_evil || asked.path.contains("/send/") {
            return None;
        }
        answer(asked, counter.fetch_add(1, Ordering::Relaxed))
    });
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_a_beginning_is_given_up() {
    let scene = Scene::open().await;
    let eve = scene.eve.clone();
    let asked = answering(&scene, move |asked, number| {
        if asked.path.contains("/get_missing_events/") {
            // Each answer is about events that rest on others.
            let events: Vec<_> = (0..10)
                .map(|it| loose(&eve, number * 10 + it).json)
                .collect();
            return Some(Reply::Json(200, json!({ "events": events })));
        }
        None
    });
    let head = loose(&scene.eve, 1_000_000);
    let (told, ()) = tokio::join!(scene.send(EVIL, &[&head]), scene.others_are_served());
    Scene::assert_refused(&told, &head, "cannot be found");
    let questions = asked.load(Ordering::Relaxed);
    assert!(questions < 200, "{questions} questions for one event");
    assert!(!scene.seen().await.contains(&head.id));
    scene.end("a chain without a beginning").await;
}

/// So many events Synapse tells at most when it is asked for missing ones.
const TOLD_MAX: usize = 20;

/// What Synapse answers to `get_missing_events`: it walks back from each event that it is asked about, and leaves out only the `earliest_events`.
fn told_by_synapse(all: &[Made], question: &Value) -> Vec<Value> {
    let listed = |key: &str| -> Vec<String> {
        let ids = question[key].as_array().expect("a list").iter();
        ids.map(text).collect()
    };
    let mut seen: BTreeSet<_> = listed("earliest_events").into_iter().collect();
    let mut front = listed("latest_events");
    let mut told = Vec::new();
    while !front.is_empty() && told.len() < TOLD_MAX {
        let mut next_front = Vec::new();
        for id in front {
            let prevs = all.iter().find(|made| made.id == id);
            let prevs = prevs.and_then(|made| made.json["prev_events"].as_array());
            for prev in prevs.into_iter().flatten().map(text) {
                if told.len() < TOLD_MAX && seen.insert(prev.clone()) {
                    told.extend(all.iter().filter(|made| made.id == prev));
                    next_front.push(prev);
                }
            }
        }
        front = next_front;
    }
    told.iter().rev().map(|made| made.json.clone()).collect()
}

/// Lines of which each rests on the one before; the first one rests on what `eve` knows.
fn lines(mut eve: Guest, count: usize) -> Vec<Made> {
    let mut all = Vec::new();
    for number in 0..count {
        let made = eve.text(&format!("line {number}"));
        eve.follow(&made);
        all.push(made);
    }
    all
}

/// Has the hostile server tell what lies between as Synapse does, and nothing else.
fn telling_what_lies_between(scene: &Scene, all: &[Made]) -> Arc<AtomicUsize> {
    let known = all.to_vec();
    answering(scene, move |asked, _| {
        let is_asked = asked.path.contains("/get_missing_events/");
        is_asked.then(|| Reply::Json(200, json!({"events": told_by_synapse(&known, asked.body)})))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_longer_than_many_answers_is_filled() {
    let scene = Scene::open().await;
    let all = lines(scene.eve.clone(), 1_500);
    telling_what_lies_between(&scene, &all);
    let head = all.last().expect("lines");
    Scene::assert_taken(&scene.send(EVIL, &[head]).await, head);
    let seen = scene.seen().await;
    let lines: Vec<_> = all.iter().map(|made| &made.id).collect();
    let told: Vec<_> = seen.iter().filter(|id| lines.contains(id)).collect();
    assert_eq!(told, lines);
    scene.end("a long gap").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_longer_than_is_waited_for_is_given_up() {
    let scene = Scene::open().await;
    let mut eve = scene.eve.clone();
    eve.follow(&loose(&scene.eve, 1));
    let all = lines(eve, 2_500);
    let asked = telling_what_lies_between(&scene, &all);
    let head = all.last().expect("lines");
    let (told, ()) = tokio::join!(scene.send(EVIL, &[head]), scene.others_are_served());
    Scene::assert_refused(&told, head, "cannot be found");
    let questions = asked.load(Ordering::Relaxed);
    assert!(questions < 200, "{questions} questions for one event");
    assert!(!scene.seen().await.contains(&head.id));
    scene.end("a chain that does not end in time").await;
}

/// What is answered to a question with this path; `None` to tell the event that was asked for.
type Answer = fn(&Guest, &Made, &str) -> Option<Value>;

/// Answers that must not be believed.
const NONSENSE: &[(&str, Answer)] = &[
    ("no objects", |_, _, _| Some(json!([]))),
    ("wrong types", |_, _, _| {
        Some(json!({"pdu_ids": 5, "auth_chain_ids": {}, "events": 5, "pdus": "x", "auth_chain": 1}))
    }),
    ("wrong types of a state", |_, _, path| {
        let asks = path.contains("state");
        asks.then(|| json!({"pdu_ids": 5, "auth_chain_ids": {}, "pdus": "x", "auth_chain": 1}))
    }),
    ("an empty state", |_, _, path| {
        let is_event = path.contains("/event/");
        (!is_event)
            .then(|| json!({"pdu_ids": [], "auth_chain_ids": [], "events": [], "auth_chain": []}))
    }),
    ("itself", |_, made, _| {
        Some(
            json!({"pdus": [made.json], "events": [made.json], "auth_chain": [made.json], "pdu_ids": [made.id], "auth_chain_ids": [made.id]}),
        )
    }),
    ("two hundred times the same", |_, made, _| {
        let many = vec![made.json.clone(); 200];
        Some(
            json!({"pdus": many, "events": many, "auth_chain": many, "pdu_ids": vec![&made.id; 200], "auth_chain_ids": []}),
        )
    }),
    ("a state of unknown events", |_, _, path| {
        let ids: Vec<_> = (0..60_000).map(|it| format!("$nothing{it}")).collect();
        let is_event = path.contains("/event/");
        (!is_event).then(|| json!({"pdu_ids": ids, "auth_chain_ids": ids, "pdus": [], "auth_chain": [], "events": []}))
    }),
    ("powers that nobody gave", |eve, made, path| {
        let grab = eve.event(json!({"type": "m.room.power_levels", "state_key": "", "content": {"users": {&eve.user_id: 100}}}));
        let create = eve.known("m.room.create", "").expect("a create event");
        if path.contains("/event/") {
            let wanted = if last_segment(path) == made.id {
                made
            } else {
                &grab
            };
            return Some(json!({"pdus": [wanted.json]}));
        }
        Some(
            json!({"pdu_ids": [create, grab.id], "auth_chain_ids": [create], "pdus": [grab.json], "events": [], "auth_chain": [grab.json]}),
        )
    }),
    ("another event than asked for", |eve, _, _| {
        let other = eve.text("not asked for");
        Some(
            json!({"pdus": [other.json], "events": [], "auth_chain": [], "pdu_ids": [], "auth_chain_ids": []}),
        )
    }),
    ("deep nesting", |_, _, _| {
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!([deep]);
        }
        Some(
            json!({"pdus": [deep], "events": [deep], "auth_chain": [deep], "pdu_ids": [deep], "auth_chain_ids": []}),
        )
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn states_and_chains_that_are_nonsense_are_not_believed() {
    let scene = Scene::open().await;
    let before = scene.state().await;
    for (number, (what, answer)) in NONSENSE.iter().enumerate() {
        let eve = scene.eve.clone();
        let made = loose(&scene.eve, 100 + number);
        let head = scene
            .eve
            .event(json!({"prev_events": [made.id], "content": {"body": what}}));
        let also = scene
            .eve
            .event(json!({"auth_events": [format!("$nothing{number}")]}));
        let answer = *answer;
        let started = Instant::now();
        let asked = answering(&scene, move |asked, _| {
            let event = json!({"pdus": [made.json]});
            let is_wanted = asked.path.contains("/event/") && last_segment(asked.path) == made.id;
            let answer = answer(&eve, &made, asked.path).or_else(|| is_wanted.then_some(event));
            answer.map(|answer| Reply::Json(200, answer))
        });
        let (told, ()) = tokio::join!(scene.send(EVIL, &[&head, &also]), scene.others_are_served());
        for made in [&head, &also] {
            assert!(told[&made.id]["error"].is_string(), "{what}: {told}");
        }
        let questions = asked.load(Ordering::Relaxed);
        println!("{what}: {questions} questions, {:?}", started.elapsed());
        assert!(questions < 400, "{what}: {questions} questions");
        let after = scene.state().await;
        assert_eq!(after, before, "{what}");
    }
    // What was refused for want of a predecessor is taken once there is one.
    scene.peers.follow(|_| None);
    let hello = scene.eve.text("hello");
    Scene::assert_taken(&scene.send(EVIL, &[&hello]).await, &hello);
    scene.end("bad states and auth chains").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_without_its_powers_gives_none_today() {
    let scene = Scene::open().await;
    let before = scene.state().await;
    let mut eve = scene.eve.clone();
    let middle = loose(&eve, 1);
    // In a state without power levels everybody may set the topic.
    let create = eve.known("m.room.create", "").expect("a create event");
    let own = eve.known("m.room.member", &eve.user_id).expect("a join");
    let state = json!({"pdu_ids": [create, own], "auth_chain_ids": [create]});
    let event = json!({"pdus": [middle.json]});
    answering(&scene, move |asked, _| {
        let answer = match asked.path {
            path if path.contains("/state_ids/") => state.clone(),
            path if path.contains("/event/") => event.clone(),
            _ => json!({"events": []}),
        };
        Some(Reply::Json(200, answer))
    });
    eve.follow(&middle);
    let topic = eve.event(json!({
        "type": "m.room.topic", "state_key": "", "content": {"topic": "eve was here"}, "auth_events": [create, own],
    }));
    eve.follow(&topic);
    let message = eve.text("after the topic");
    let told = scene.send(EVIL, &[&topic, &message]).await;
    // Who knows neither the powers nor that they were left out may write, not more.
    Scene::assert_taken(&told, &message);
    let after = scene.state().await;
    assert_eq!(after, before);
    let seen = scene.seen().await;
    assert!(!seen.contains(&topic.id));
    scene.end("a state without power levels").await;
}

/// So much is asked at most for the events that one transaction brings of a room: four times five gaps, for each an event, the IDs of its state and fifty
/// events of that; and some times what lies between and what authorises.
const QUESTIONS_MAX: usize = 4 * 5 * (2 + 50) + 100;

#[tokio::test(flavor = "multi_thread")]
async fn states_that_name_ever_new_events_are_given_up() {
    let scene = Scene::open().await;
    let before = scene.state().await;
    let eve = scene.eve.clone();
    let gaps: Vec<_> = (0..5).map(|number| loose(&eve, 2_000 + number)).collect();
    let heads: Vec<_> = gaps
        .iter()
        .map(|gap| eve.event(json!({"prev_events": [gap.id], "content": {"body": gap.id}})))
        .collect();
    let known = gaps.into_iter().map(|gap| (gap.id, gap.json));
    let known: Mutex<BTreeMap<_, _>> = Mutex::new(known.collect());
    let asked = answering(&scene, move |asked, number| {
        // Good events, of which each is authorised by one that was never heard of.
        let invent = |it: usize| {
            let mut auth = authorising(&eve);
            auth.push(format!("${number:0>10}{it:0>33}"));
            let made = eve.event(json!({
                "type": "test.endless", "state_key": format!("{number}/{it}"), "auth_events": auth,
            }));
            known.lock().insert(made.id.clone(), made.json.clone());
            made
        };
        let invented = || (0..40).map(invent);
        let answer = match asked.path {
            path if path.contains("/state_ids/") => {
                let ids: Vec<_> = invented().map(|made| made.id).collect();
                json!({"pdu_ids": ids, "auth_chain_ids": authorising(&eve)})
            }
            path if path.contains("/event_auth/") => {
                let chain: Vec<_> = invented().map(|made| made.json).collect();
                json!({ "auth_chain": chain })
            }
            path if path.contains("/event/") => {
                let event = known.lock().get(&last_segment(path)).cloned();
                json!({"pdus": event.into_iter().collect::<Vec<_>>()})
            }
            _ => json!({"events": []}),
        };
        Some(Reply::Json(200, answer))
    });
    let sent: Vec<_> = heads.iter().collect();
    let started = Instant::now();
    let (told, ()) = tokio::join!(scene.send(EVIL, &sent), scene.others_are_served());
    for head in &heads {
        assert!(told[&head.id]["error"].is_string(), "{told}");
    }
    let questions = asked.load(Ordering::Relaxed);
    println!(
        "endless states: {questions} questions, {:?}",
        started.elapsed()
    );
    assert!(questions < QUESTIONS_MAX, "{questions} questions");
    assert_eq!(scene.state().await, before);
    scene.end("endless states").await;
}

/// What authorises the events of a user of the hostile server.
fn authorising(eve: &Guest) -> Vec<String> {
    let keys = [
        ("m.room.create", ""),
        ("m.room.power_levels", ""),
        ("m.room.member", eve.user_id.as_str()),
    ];
    keys.into_iter()
        .filter_map(|(event_type, key)| eve.known(event_type, key))
        .collect()
}

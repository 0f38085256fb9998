//! Servers that let our users into rooms, and lie about these.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{EVIL, GOOD, Scene};
use crate::{
    client::props::list,
    harness::{
        client::{Answer, encode},
        made::{Made, PlayedRoom, now_ms, sealed},
        script::{Asked, Reply},
    },
};

/// A change of what the server answers: of the template, and of the arrival.
type Lie = fn(&PlayedRoom, Value, bool) -> Value;

fn room() -> PlayedRoom {
    let users = ["@eve:evil.test", "@mal:evil.test", "@gus:good.test"];
    PlayedRoom::new("trap", &users.map(ToOwned::to_owned))
}

async fn join(scene: &Scene, room: &PlayedRoom) -> Answer {
    let path = format!(
        "/_matrix/client/v3/join/{}?via={EVIL}",
        encode(&room.room_id)
    );
    scene.anna.post(&path, json!({})).await
}

async fn joined_rooms(scene: &Scene) -> Vec<Value> {
    let rooms = scene.anna.get("/_matrix/client/v3/joined_rooms").await.ok();
    list(&rooms["joined_rooms"]).to_vec()
}

/// Lies of the server that lets in, by which the join must fail.
const LIES: &[(&str, Lie)] = &[
    ("a template of another room", |_, mut told, is_arrival| {
        if !is_arrival {
            told["event"]["room_id"] = json!("!other:evil.test");
        }
        told
    }),
    ("a template of another user", |_, mut told, is_arrival| {
        if !is_arrival {
            told["event"]["sender"] = json!("@eve:evil.test");
            told["event"]["state_key"] = json!("@eve:evil.test");
        }
        told
    }),
    ("a template of power levels", |_, mut told, is_arrival| {
        if !is_arrival {
            told["event"]["type"] = json!("m.room.power_levels");
            told["event"]["state_key"] = json!("");
        }
        told
    }),
    ("a version that nobody knows", |_, mut told, is_arrival| {
        if !is_arrival {
            told["room_version"] = json!("org.evil.99");
        }
        told
    }),
    (
        "another version than the room's",
        |_, mut told, is_arrival| {
            if !is_arrival {
                told["room_version"] = json!("10");
            }
            told
        },
    ),
    ("no state", |_, mut told, _| {
        told["state"] = json!([]);
        told
    }),
    ("no create event", |_, mut told, is_arrival| {
        if is_arrival {
            told["state"].as_array_mut().expect("a list").remove(0);
            told["auth_chain"].as_array_mut().expect("a list").remove(0);
        }
        told
    }),
    ("another room's state", |room, told, is_arrival| {
        let users = ["@eve:evil.test".to_owned()];
        let other = PlayedRoom::new("other", &users);
        if is_arrival {
            other.arrival(&told["event"])
        } else {
            let _ = room;
            told
        }
    }),
    (
        "a state in which nobody may join",
        |room, mut told, is_arrival| {
            if is_arrival {
                let mut rules = room.state[3].json.clone();
                rules["content"] = json!({"join_rule": "invite"});
                told["state"][3] = sealed(EVIL, rules).json;
            }
            told
        },
    ),
    ("a state that nobody signed", |_, mut told, is_arrival| {
        if is_arrival {
            for list in ["state", "auth_chain"] {
                for event in told[list].as_array_mut().expect("a list") {
                    event["signatures"] = json!({});
                }
            }
        }
        told
    }),
    ("another join", |_, mut told, is_arrival| {
        if is_arrival {
            told["state"] = json!(5);
        }
        told
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_a_lie_is_not_joined() {
    let scene = Scene::open().await;
    let before = joined_rooms(&scene).await;
    for (what, lie) in LIES {
        let room = room();
        let played = room.clone();
        scene.peers.follow(move |asked| {
            let Some(Reply::Json(200, told)) =
                (asked.name == EVIL).then(|| played.reply(asked)).flatten()
            else {
                return None;
            };
            let is_arrival = asked.path.contains("send_join");
            Some(Reply::Json(200, lie(&played, told, is_arrival)))
        });
        let (answer, ()) = tokio::join!(join(&scene, &room), scene.others_are_served());
        assert!(answer.status >= 400, "{what}: {}", answer.body);
        assert!(
            answer.body["errcode"].is_string(),
            "{what}: {}",
            answer.body
        );
        assert_eq!(joined_rooms(&scene).await, before, "{what}");
    }
    // The same server can still tell the truth.
    let room = room();
    let played = room.clone();
    scene
        .peers
        .follow(move |asked| (asked.name == EVIL).then(|| played.reply(asked)).flatten());
    join(&scene, &room).await.ok();
    scene.anna.say(&room.room_id, "so it is true").await;
    let is_it = |event: &Value| event["content"]["body"] == "so it is true";
    for name in [EVIL, GOOD] {
        scene.peers.await_event(name, is_it).await;
    }
    scene.end("lies about rooms").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_false_in_a_true_room_is_left_out() {
    let scene = Scene::open().await;
    let room = room();
    let played = room.clone();
    scene.peers.follow(move |asked| {
        let Some(Reply::Json(200, mut told)) =
            (asked.name == EVIL).then(|| played.reply(asked)).flatten()
        else {
            return None;
        };
        if asked.path.contains("send_join") {
            let mut forged = played.state[5].json.clone();
            forged["state_key"] = json!("@forged:good.test");
            forged["sender"] = json!("@forged:good.test");
            let forged = sealed(EVIL, forged).json;
            let mut grab = played.state[2].json.clone();
            grab["sender"] = json!("@mal:evil.test");
            grab["content"] = json!({"users": {"@mal:evil.test": 100}});
            let grab = sealed(EVIL, grab).json;
            let state = told["state"].as_array_mut().expect("a list");
            state.extend([forged, grab, json!(5), json!({}), json!(null)]);
        }
        Some(Reply::Json(200, told))
    });
    join(&scene, &room).await.ok();
    let members = scene.anna.look(&room.room_id, "joined_members").await.ok();
    let joined = members["joined"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    assert_eq!(joined, 4, "{members}");
    let powers = scene
        .anna
        .look(&room.room_id, "state/m.room.power_levels")
        .await
        .ok();
    assert_eq!(powers["users"], json!({"@eve:evil.test": 100}));
    scene.end("half a truth").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrivals_that_are_too_large_or_never_come_hold_up_nobody() {
    let scene = Scene::open().await;
    type Answer = fn() -> Reply;
    let answers: [(&str, Answer, bool); 4] = [
        ("announced", || Reply::Announced(1 << 40), true),
        (
            "nonsense",
            || Reply::Bytes("text/html", vec![b'<'; 1 << 20]),
            true,
        ),
        ("dripping", || Reply::Drip, false),
        ("silent", || Reply::Silence, false),
    ];
    for (what, answer, ends) in answers {
        let room = room();
        let played = room.clone();
        scene.peers.follow(move |asked| {
            if asked.name != EVIL || !asked.path.contains("send_join") {
                return (asked.name == EVIL).then(|| played.reply(asked)).flatten();
            }
            Some(answer())
        });
        let joining = async {
            let answer = join(&scene, &room).await;
            assert!(answer.status >= 400, "{what}: {}", answer.body);
        };
        if ends {
            tokio::join!(joining, scene.others_are_served());
        } else {
            // Who waits for such a server gives up at some time; nobody else waits.
            tokio::select! {
                () = joining => {}
                () = scene.others_are_served() => {}
            }
        }
    }
    scene.peers.follow(|_| None);
    scene.end("arrivals that never come").await;
}

/// Tells a room as a server does that walks on past our join wherever it can: three old lines come with what is lacking.
fn walks_past_the_join(
    asked: &Asked<'_>,
    room: &PlayedRoom,
    lines: &[Made],
    lacking: &Mutex<Vec<Value>>,
) -> Option<Reply> {
    let known = || room.state.iter().chain(lines);
    let told = |made: &Made| made.json.clone();
    let path = asked.path.split('?').next().unwrap_or_default();
    let answer = if path.contains("/make_join/") {
        let Some(Reply::Json(_, mut template)) = room.reply(asked) else {
            return None;
        };
        template["event"]["prev_events"] = json!([lines.last()?.id]);
        template["event"]["depth"] = json!(20);
        template
    } else if path.contains("/get_missing_events/") {
        let lacking = lacking.lock().expect("nobody panicked").clone();
        let events: Vec<_> = known().map(told).chain(lacking).collect();
        json!({ "events": events })
    } else if path.contains("/backfill/") {
        json!({"origin": EVIL, "origin_server_ts": 1, "pdus": known().map(told).collect::<Vec<_>>()})
    } else {
        return room.reply(asked);
    };
    Some(Reply::Json(200, answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_the_join_is_history_and_no_news() {
    let scene = Scene::open().await;
    let room = room();
    let id = |index: usize| room.state[index].id.clone();
    let line = |body: &str, prev_events: Value, depth: usize| {
        sealed(
            EVIL,
            json!({
                "type": "m.room.message", "sender": "@eve:evil.test", "room_id": room.room_id, "content": {"body": body},
                "prev_events": prev_events, "auth_events": [id(0), id(1), id(2)], "depth": depth, "origin_server_ts": now_ms(),
            }),
        )
    };
    let mut lines: Vec<Made> = Vec::new();
    for number in 0..3 {
        let before = lines.last().unwrap_or(&room.state[room.state.len() - 1]);
        lines.push(line("old", json!([before.id]), 10 + number));
    }
    let lacking: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (played, old, told) = (room.clone(), lines.clone(), lacking.clone());
    scene.peers.follow(move |asked| {
        let is_evil = asked.name == EVIL;
        is_evil
            .then(|| walks_past_the_join(asked, &played, &old, &told))
            .flatten()
    });
    join(&scene, &room).await.ok();
    let path = format!(
        "state/m.room.member/{}?format=event",
        encode(&scene.anna.user_id)
    );
    let joined = scene.anna.look(&room.room_id, &path).await.ok();
    // What is said here is not known there: the graph has another way back to the join.
    scene.anna.say(&room.room_id, "meanwhile").await;
    let middle = line("middle", json!([joined["event_id"]]), 21);
    let newest = line("newest", json!([middle.id]), 22);
    lacking
        .lock()
        .expect("nobody panicked")
        .push(middle.json.clone());
    Scene::assert_taken(&scene.send(EVIL, &[&newest]).await, &newest);
    let page = scene
        .anna
        .look(&room.room_id, "messages?dir=b&limit=100")
        .await
        .ok();
    let bodies = list(&page["chunk"]).iter().rev();
    let bodies: Vec<_> = bodies
        .filter_map(|event| event["content"]["body"].as_str())
        .collect();
    assert_eq!(
        bodies,
        ["old", "old", "old", "meanwhile", "middle", "newest"]
    );
    scene.end("a walk past the join").await;
}

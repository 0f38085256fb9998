//! Who writes: messages, state, redactions, and messages to devices before messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::{sync::watch, time};

use super::{AGAIN_AFTER, PATIENCE, TXN, ask, close, may_go_well};
use crate::{
    cluster::checker::{History, Line, Op},
    harness::{Client, client::encode},
};

/// A room to write in.
pub(super) struct Room {
    pub(super) id: String,
    /// The users who read there.
    pub(super) listeners: Vec<String>,
}

pub(super) struct Writer {
    pub(super) client: Client,
    pub(super) history: Arc<History>,
    pub(super) acked: Arc<AtomicUsize>,
    pub(super) rooms: Vec<Room>,
    /// Before the first message: all together are to write evenly.
    pub(super) delay: Duration,
    pub(super) pause: Duration,
    pub(super) stop: watch::Receiver<bool>,
}

/// What is asked for, as often as it takes.
struct Wish<'a> {
    op: Op,
    room: &'a Room,
    txn: String,
    path: String,
    body: Value,
    follows: Option<String>,
}

impl Writer {
    pub(super) async fn run(self) {
        let mut latest: Vec<Option<String>> = vec![None; self.rooms.len()];
        time::sleep(self.delay).await;
        for number in 0_usize.. {
            if *self.stop.borrow() {
                return;
            }
            let place = number % self.rooms.len();
            let room = &self.rooms[place];
            // Everything is done in every room.
            let turn = (number / self.rooms.len() + place) % 16;
            match (turn, latest[place].take()) {
                (3, _) => {
                    let lead = self.tell_devices(room, number).await;
                    latest[place] = self.say(room, number, lead).await;
                }
                (7, _) => drop(self.set_state(room, number).await),
                (11, Some(event_id)) => drop(self.redact(room, number, &event_id).await),
                _ => latest[place] = self.say(room, number, None).await,
            }
            time::sleep(self.pause).await;
        }
    }

    fn txn(&self, kind: &str, number: usize) -> String {
        let (name, _) = self.client.user_id.split_once(':').unwrap_or_default();
        format!("{}-{kind}{number}", name.trim_start_matches('@'))
    }

    async fn say(&self, room: &Room, number: usize, follows: Option<String>) -> Option<String> {
        let txn = self.txn("m", number);
        let path = in_room(room, &format!("send/m.room.message/{txn}"));
        let body = json!({"msgtype": "m.text", "body": format!("number {number}"), TXN: txn});
        self.insist(Wish {
            op: Op::Send,
            room,
            txn,
            path,
            body,
            follows,
        })
        .await
    }

    /// Nobody else sets this state: a repeat finds it as it was set.
    async fn set_state(&self, room: &Room, number: usize) -> Option<String> {
        let txn = self.txn("s", number);
        let path = in_room(
            room,
            &format!("state/playhouse.state/{}", self.txn("own", 0)),
        );
        self.insist(Wish {
            op: Op::State,
            room,
            body: json!({TXN: txn}),
            txn,
            path,
            follows: None,
        })
        .await
    }

    async fn redact(&self, room: &Room, number: usize, event_id: &str) -> Option<String> {
        let txn = self.txn("r", number);
        let path = in_room(room, &format!("redact/{}/{txn}", encode(event_id)));
        self.insist(Wish {
            op: Op::Redact,
            room,
            body: json!({"reason": txn}),
            txn,
            path,
            follows: None,
        })
        .await
    }

    /// A message to all devices of those who read in a room; gives its transaction once it is acknowledged.
    async fn tell_devices(&self, room: &Room, number: usize) -> Option<String> {
        let txn = self.txn("d", number);
        let path = format!("/_matrix/client/v3/sendToDevice/playhouse.lead/{txn}");
        let each = |user: &String| (user.clone(), json!({"*": {TXN: txn}}));
        let messages: Map<String, Value> = room.listeners.iter().map(each).collect();
        let wish = Wish {
            op: Op::ToDevice,
            room,
            txn: txn.clone(),
            path,
            body: json!({"messages": messages}),
            follows: None,
        };
        self.insist(wish).await.map(|_| txn)
    }

    /// Asks until it is done or refused, always with the same transaction. Gives the event ID, or nothing that is one for a message to devices.
    async fn insist(&self, wish: Wish<'_>) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut line = self.line(&wish);
            let answer = ask(
                &self.client,
                Method::PUT,
                &wish.path,
                Some(wish.body.clone()),
            )
            .await;
            close(&self.history, &mut line, answer.as_ref());
            let event_id = answer
                .as_ref()
                .and_then(|answer| answer.body["event_id"].as_str());
            line.event_id = event_id.map(ToOwned::to_owned);
            self.history.record(&line);
            if answer.as_ref().is_some_and(|answer| answer.status == 200) {
                if wish.op.writes() {
                    self.acked.fetch_add(1, Ordering::Relaxed);
                }
                return Some(line.event_id.unwrap_or_default());
            }
            if !may_go_well(answer.as_ref()) || Instant::now() > deadline {
                return None;
            }
            time::sleep(AGAIN_AFTER).await;
        }
    }

    fn line(&self, wish: &Wish<'_>) -> Line {
        let mut line = Line::new(&self.client.user_id, wish.op, self.history.now_ns());
        line.txn = Some(wish.txn.clone());
        line.follows.clone_from(&wish.follows);
        match wish.op {
            Op::ToDevice => line.to.clone_from(&wish.room.listeners),
            _ => line.room = Some(wish.room.id.clone()),
        }
        line
    }
}

fn in_room(room: &Room, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", encode(&room.id))
}

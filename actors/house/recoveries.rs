//! What was lost of shared rooms by a restore from a backup, asked of the other servers in them.
//!
//! A server tells the ends of a room's graph to whoever wants to make an event for a user. From those it is walked back to what is known here, and what was
//! found is
//! taken in from the oldest to the newest, as if it came now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use playhouse_schema::{
    models::{
        Model as _,
        retention::{Retention, rooms_after},
    },
    record::restore::Restored,
};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};
use serde::Deserialize;
use serde_json::{Value as JsonValue, value::RawValue};

use super::{
    House, HouseError,
    delays::HouseOutlet,
    peers::{Patience, segment},
    receive::Scene,
};
use crate::{
    followers::{
        recoveries::Recoverer,
        task::{Stop, Stopped},
    },
    room::{
        RoomError,
        receive::{CheckedPdu, order::in_graph_order},
    },
};

/// So many rooms are looked up at once.
const PAGE_ROOMS: usize = 100;

/// So many rooms are worked on at a time.
const ROOMS_AT_ONCE: usize = 4;

/// So many servers of a room are asked …
const SERVERS_MAX: usize = 10;

/// … until so many have answered: one alone may itself be behind.
const ANSWERS_WANTED: usize = 2;

/// In the name of so many users the ends are asked for.
const USERS_MAX: usize = 3;

/// So many ends are looked at.
const ENDS_MAX: usize = 20;

/// So many events are asked for at a time.
const EVENTS_ASKED: usize = 100;

/// So many of an answer are taken.
const EVENTS_TAKEN: usize = 500;

/// So many events of a room, and bytes of them, are held while it is walked back. What lies beyond is a gap, as after a long absence.
const HELD_MAX: (usize, usize) = (10_000, 32 * 1024 * 1024);

/// So often a server is asked for more of a room: one that answers with next to nothing each time must not keep others waiting for long.
const ROUNDS_MAX: usize = 2 * HELD_MAX.0 / EVENTS_ASKED;

/// So many events are taken in at a time.
const BATCH: usize = 100;

/// Rooms of which nobody told anything are asked for again after the first of these, then after twice as long each time up to the second.
const WAITS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));

/// The house opens around the follower.
const OPENING: Duration = Duration::from_millis(50);

/// After so long nobody is asked any more.
const GIVEN_UP_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

/// The house once it is open: followers end before it does.
pub(super) struct HouseRecovery {
    pub(super) outlet: Arc<HouseOutlet>,
}

#[derive(Deserialize)]
struct Template {
    event: TemplateEvent,
}

#[derive(Deserialize)]
struct TemplateEvent {
    prev_events: Vec<JsonValue>,
}

#[derive(Deserialize)]
struct Found {
    event_id: OwnedEventId,
}

#[derive(Deserialize)]
struct Stretch {
    #[serde(default)]
    pdus: Vec<Box<RawValue>>,
}

impl HouseRecovery {
    async fn opened(&self, stop: &mut Stop) -> Result<Arc<House>, Stopped> {
        loop {
            if let Some(house) = self.outlet.0.get().and_then(Weak::upgrade) {
                return Ok(house);
            }
            if !stop.pause(OPENING).await {
                return Err(Stopped);
            }
        }
    }

    async fn run(
        &self,
        restored: &Restored,
        stop: &mut Stop,
    ) -> Result<Result<(), String>, Stopped> {
        let house = self.opened(stop).await?;
        let mut left = match house.recover_all(stop).await? {
            Ok(left) => left,
            Err(error) => return Ok(Err(error.to_string())),
        };
        drop(house);
        let (mut wait, longest) = WAITS;
        while !left.is_empty() {
            tracing::info!(
                rooms = left.len(),
                "rooms of which no server told what was lost"
            );
            if !stop.pause(wait).await {
                return Err(Stopped);
            }
            wait = (wait * 2).min(longest);
            let house = self.opened(stop).await?;
            if house.env.now_ms().saturating_sub(restored.at_ms) > GIVEN_UP_AFTER_MS {
                return Ok(Err(format!(
                    "no server told what was lost of {} rooms",
                    left.len()
                )));
            }
            left = house.recover_rooms(left, stop).await?;
        }
        tracing::info!("all rooms are as other servers know them");
        Ok(Ok(()))
    }
}

impl Recoverer for HouseRecovery {
    fn recover<'a>(
        &'a self,
        restored: &'a Restored,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Result<(), String>, Stopped>> {
        Box::pin(self.run(restored, stop))
    }
}

impl House {
    /// Brings all rooms up to date. Those of which nobody told anything are left.
    async fn recover_all(
        &self,
        stop: &mut Stop,
    ) -> Result<Result<Vec<OwnedRoomId>, HouseError>, Stopped> {
        if let Err(error) = self.models.caught_up(Retention::NAME).await {
            return Ok(Err(error.into()));
        }
        let (mut after, mut left) = (String::new(), Vec::new());
        loop {
            let page = rooms_after(&**self.models.store(), &after, true, PAGE_ROOMS).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => return Ok(Err(error.into())),
            };
            let Some(last) = page.last() else {
                return Ok(Ok(left));
            };
            after.clone_from(last);
            let rooms = page.iter().filter_map(|id| RoomId::parse(id).ok());
            left.extend(self.recover_rooms(rooms.collect(), stop).await?);
        }
    }

    /// The same for some rooms.
    async fn recover_rooms(
        &self,
        rooms: Vec<OwnedRoomId>,
        stop: &mut Stop,
    ) -> Result<Vec<OwnedRoomId>, Stopped> {
        let recovering = stream::iter(rooms).map(|room_id| async move {
            let recovered = self.recover_room(&room_id).await;
            (room_id, recovered)
        });
        let mut recovering = recovering.buffer_unordered(ROOMS_AT_ONCE);
        let mut left = Vec::new();
        loop {
            let next = tokio::select! {
                () = stop.told() => return Err(Stopped),
                next = recovering.next() => next,
            };
            match next {
                None => return Ok(left),
                Some((_, Ok(true))) => {}
                Some((room_id, Ok(false))) => left.push(room_id),
                Some((room_id, Err(error))) => {
                    tracing::info!(%room_id, %error, "what was lost of a room cannot be taken in yet");
                    left.push(room_id);
                }
            }
        }
    }

    /// Has told what is not known here of a room by other servers in it. `false` when none of them answered.
    async fn recover_room(&self, room_id: &RoomId) -> Result<bool, HouseError> {
        let gate = match self.room_gate(room_id, self.env.server_name()).await {
            Ok(gate) => gate,
            Err(HouseError::Room(RoomError::UnknownRoom)) => return Ok(true),
            Err(error) => return Err(error),
        };
        // What is missing of a room that is not known as a whole is looked for anyway.
        if !gate.inhabited || gate.others.is_empty() || gate.partial.is_some() {
            return Ok(true);
        }
        let users = self.own_members(room_id, "join").await?;
        let mut answers = 0;
        for server in gate.others.iter().take(SERVERS_MAX) {
            let scene = Scene {
                origin: server,
                room_id,
                gate: &gate,
            };
            let Some(ends) = self.ends_told(scene, &users).await else {
                continue;
            };
            let lost = self.walk_back(scene, ends).await?;
            if !lost.is_empty() {
                let count = lost.len();
                tracing::info!(%room_id, %server, count, "events that were lost are back");
            }
            for batch in lost.chunks(BATCH) {
                self.take_in(scene, batch.to_vec()).await?;
            }
            answers += 1;
            if answers == ANSWERS_WANTED {
                break;
            }
        }
        Ok(answers > 0)
    }

    /// The ends of a room's graph as a server knows them: what an event of one of our users would stand on, or else the newest event there.
    async fn ends_told(
        &self,
        scene: Scene<'_>,
        users: &[OwnedUserId],
    ) -> Option<Vec<OwnedEventId>> {
        let room = segment(scene.room_id.as_str());
        for user_id in users.iter().take(USERS_MAX) {
            let user = segment(user_id.as_str());
            let path = format!("/_matrix/federation/v1/make_leave/{room}/{user}");
            let asked = self.ask_peer(scene.origin, path, Patience::EVENT).await;
            if let Ok(Template { event }) = asked {
                let ends = event.prev_events.iter().take(ENDS_MAX);
                return Some(ends.filter_map(named).collect());
            }
        }
        let now_ms = self.env.now_ms();
        let path = format!("/_matrix/federation/v1/timestamp_to_event/{room}?ts={now_ms}&dir=b");
        let asked = self.ask_peer(scene.origin, path, Patience::EVENT).await;
        asked
            .map(|Found { event_id }| vec![event_id])
            .inspect_err(|error| {
                let (origin, room_id) = (scene.origin, scene.room_id);
                tracing::info!(%origin, %room_id, %error, "the ends of a room are not told");
            })
            .ok()
    }

    /// Events from some ends back to what is known here, the oldest first.
    async fn walk_back(
        &self,
        scene: Scene<'_>,
        ends: Vec<OwnedEventId>,
    ) -> Result<Vec<CheckedPdu>, HouseError> {
        let mut found = BTreeMap::<OwnedEventId, CheckedPdu>::new();
        let (mut bytes, mut rounds) = (0, 0);
        let mut wanted = self.unknown_of(scene.room_id, ends, ENDS_MAX).await?;
        while !wanted.is_empty()
            && found.len() < HELD_MAX.0
            && bytes < HELD_MAX.1
            && rounds < ROUNDS_MAX
        {
            rounds += 1;
            let Some(pdus) = self.stretch_before(scene, &wanted).await else {
                break;
            };
            let (checked, _) = self.checked(scene, &pdus).await?;
            let ids: Vec<_> = checked.iter().map(|pdu| pdu.event_id.clone()).collect();
            let unknown = self.unknown_of(scene.room_id, ids, EVENTS_TAKEN).await?;
            let unknown: BTreeSet<_> = unknown.into_iter().collect();
            let before = found.len();
            for pdu in checked {
                if unknown.contains(&pdu.event_id) {
                    found.insert(pdu.event_id.clone(), pdu);
                }
            }
            // Who tells nothing new is not asked again.
            if found.len() == before {
                break;
            }
            bytes += pdus.iter().map(|pdu| pdu.get().len()).sum::<usize>();
            let open = found.values().flat_map(|pdu| &pdu.prev_events);
            let open = open.filter(|id| !found.contains_key(*id)).cloned();
            let open: BTreeSet<_> = open.collect();
            let open = open.into_iter().collect();
            wanted = self.unknown_of(scene.room_id, open, ENDS_MAX).await?;
        }
        Ok(in_graph_order(found.into_values().collect(), |pdu| pdu))
    }

    async fn stretch_before(
        &self,
        scene: Scene<'_>,
        ends: &[OwnedEventId],
    ) -> Option<Vec<Box<RawValue>>> {
        let room = segment(scene.room_id.as_str());
        let mut path = format!("/_matrix/federation/v1/backfill/{room}?limit={EVENTS_ASKED}");
        for end in ends {
            path.push_str(&format!("&v={}", segment(end.as_str())));
        }
        let asked = self.ask_peer(scene.origin, path, Patience::SHORT).await;
        let told: Result<Stretch, _> = asked;
        let mut pdus = told
            .inspect_err(|error| {
                let (origin, room_id) = (scene.origin, scene.room_id);
                tracing::info!(%origin, %room_id, %error, "what was lost of a room is not told");
            })
            .ok()?
            .pdus;
        pdus.truncate(EVENTS_TAKEN);
        Some(pdus)
    }
}

/// The event that is named: in the first versions of rooms hashes stand beside the IDs.
fn named(reference: &JsonValue) -> Option<OwnedEventId> {
    let id = reference.as_str().or_else(|| reference.get(0)?.as_str())?;
    EventId::parse(id).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ends_are_read_in_both_forms() {
        for (told, wanted) in [
            (json!("$a"), Some("$a")),
            (json!(["$a:b", {"sha256": "x"}]), Some("$a:b")),
            (json!({}), None),
            (json!("a"), None),
        ] {
            let read = named(&told);
            assert_eq!(read.as_ref().map(|id| id.as_str()), wanted);
        }
    }
}

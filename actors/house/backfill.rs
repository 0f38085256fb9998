//! What happened in a room before this server came in: asked of servers that were there when somebody reads back so far (server-server API, "Backfilling and
//! retrieving missing events").
//!
//! One fetch at a time for a room, a few servers, a bounded time. What is fetched is recorded; where nobody gives anything, nobody is asked for a while.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use playhouse_schema::record::room::Placement;
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    House, HouseError, Places,
    journey::Turns,
    peers::{Patience, segment},
    receive::Scene,
    surprise,
};
use crate::room::{
    RoomAnswer, RoomQuery,
    answer::RoomGate,
    message::{MessagesPage, MessagesQuery},
    receive::{
        CheckedPdu, Fate, ReceivedEvent, Role,
        order::{in_auth_order, in_graph_order},
    },
};

/// So many events are asked for at a time.
const EVENTS_MAX: usize = 100;

/// So many events are taken of an answer.
const TAKEN_MAX: usize = 500;

/// So many servers are asked.
const SERVERS_MAX: usize = 3;

/// So often one page asks for more.
const FETCHES_MAX: usize = 3;

/// So long somebody waits for one fetch.
const WITHIN: Duration = Duration::from_secs(15);

/// So many events of an answer may rest on events that it does not bring: the state before each has to be asked for.
const GAPS_MAX: usize = 5;

/// Where nothing was given it is asked again after so much time.
const FUTILE_FOR_MS: u64 = 10 * 60 * 1_000;

/// In so many rooms it is remembered that nothing was given.
const FUTILE_MAX: usize = 10_000;

/// Which rooms are being asked for, and where it was futile.
#[derive(Default)]
pub(super) struct Backfills {
    turns: Turns,
    futile: Mutex<BTreeMap<OwnedRoomId, Futile>>,
}

struct Futile {
    ends: Vec<OwnedEventId>,
    until_ms: u64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    pdus: Vec<Box<RawValue>>,
}

impl House {
    /// A page of a room's history. What is older than what is known here is fetched from other servers, as far as they give it.
    pub async fn messages(
        &self,
        room_id: &RoomId,
        query: MessagesQuery,
    ) -> Result<MessagesPage, HouseError> {
        let mut page = self.page(room_id, query.clone()).await?;
        for _ in 0..FETCHES_MAX {
            if !page.wants_past || !self.env.network.is_on() {
                break;
            }
            let fetch = self.fetch_past(room_id).boxed();
            let has_more = match tokio::time::timeout(WITHIN, fetch).await {
                Ok(fetched) => fetched?,
                // It may be there when the client asks again.
                Err(_) => return Ok(page),
            };
            if !has_more {
                break;
            }
            page = self.page(room_id, query.clone()).await?;
        }
        if page.wants_past {
            page.end = None;
        }
        Ok(page)
    }

    async fn page(
        &self,
        room_id: &RoomId,
        query: MessagesQuery,
    ) -> Result<MessagesPage, HouseError> {
        let query = RoomQuery::Messages(Box::new(query));
        match self.room_query(room_id, query).await? {
            RoomAnswer::Page(page) => Ok(*page),
            _ => Err(surprise("Messages")),
        }
    }

    pub(super) async fn old_ends(&self, room_id: &RoomId) -> Result<Vec<OwnedEventId>, HouseError> {
        match self.room_query(room_id, RoomQuery::OldEnds).await? {
            RoomAnswer::EventIds(ends) => Ok(ends),
            _ => Err(surprise("OldEnds")),
        }
    }

    /// Fetches a stretch of a room's past; whether there is more of it now than before.
    pub(super) async fn fetch_past(&self, room_id: &RoomId) -> Result<bool, HouseError> {
        let turn = self.backfills.turns.of(room_id.as_str());
        let at_once = turn.try_lock().ok().filter(|_| self.desks.is_alone());
        // Whoever has to wait may find that others have fetched meanwhile.
        let (_turn, before) = match at_once {
            Some(turn) => (turn, None),
            None => {
                let before = self.old_ends(room_id).await?;
                (turn.lock().await, Some(before))
            }
        };
        let name = format!("backfill {room_id}");
        let _everywhere = self.desks.lock(&name, Places::ONE).await?;
        let ends = self.old_ends(room_id).await?;
        if before.is_some_and(|before| before != ends) {
            return Ok(true);
        }
        if ends.is_empty() || self.is_futile(room_id, &ends) {
            return Ok(false);
        }
        let gate = self.whole_gate(room_id, self.env.server_name()).await?;
        if !gate.inhabited {
            return Ok(false);
        }
        for server in servers(&gate, &ends) {
            let scene = Scene {
                origin: &server,
                room_id,
                gate: &gate,
            };
            if self.fetch_past_from(scene, &ends).await? {
                return Ok(true);
            }
        }
        self.note_futile(room_id, ends);
        Ok(false)
    }

    async fn fetch_past_from(
        &self,
        scene: Scene<'_>,
        ends: &[OwnedEventId],
    ) -> Result<bool, HouseError> {
        let Some(answer) = self.ask_for_past(scene.origin, scene.room_id, ends).await else {
            return Ok(false);
        };
        let texts = &answer.pdus[..answer.pdus.len().min(TAKEN_MAX)];
        let checked = self.checked_past(scene, texts).await?;
        let stretch = connected(checked, ends);
        let inside: BTreeSet<_> = stretch.iter().map(|pdu| pdu.event_id.clone()).collect();
        let mut events = Vec::new();
        let mut gaps = 0;
        for pdu in stretch {
            let is_gap = pdu
                .prev_events
                .iter()
                .any(|event_id| !inside.contains(event_id));
            if !is_gap {
                events.push(past(pdu));
                continue;
            }
            gaps += 1;
            if gaps > GAPS_MAX {
                continue;
            }
            let Some((outliers, state)) = self.state_before(scene, &pdu.event_id).await? else {
                continue;
            };
            events.extend(outliers);
            events.push(ReceivedEvent {
                pdu,
                role: Role::Given {
                    state,
                    placement: Placement::Backfilled,
                },
            });
        }
        let fates = self.receive_past(scene.room_id, events).await?;
        Ok(fates
            .iter()
            .any(|(event_id, fate)| *fate == Fate::Accepted && inside.contains(event_id)))
    }

    async fn ask_for_past(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        ends: &[OwnedEventId],
    ) -> Option<Answer> {
        let room = segment(room_id.as_str());
        let mut path = format!("/_matrix/federation/v1/backfill/{room}?limit={EVENTS_MAX}");
        for end in ends {
            path.push_str(&format!("&v={}", segment(end.as_str())));
        }
        let asked = self.ask_peer(server, path, Patience::SHORT).await;
        asked
            .inspect_err(|error| {
                tracing::info!(%server, %room_id, %error, "a room's past is not given");
            })
            .ok()
    }

    fn is_futile(&self, room_id: &RoomId, ends: &[OwnedEventId]) -> bool {
        let futile = self.backfills.futile.lock();
        let found = futile.get(room_id);
        found.is_some_and(|found| found.ends == ends && found.until_ms > self.env.now_ms())
    }

    fn note_futile(&self, room_id: &RoomId, ends: Vec<OwnedEventId>) {
        let now_ms = self.env.now_ms();
        let mut futile = self.backfills.futile.lock();
        if futile.len() >= FUTILE_MAX {
            futile.retain(|_, found| found.until_ms > now_ms);
        }
        if futile.len() < FUTILE_MAX {
            let until_ms = now_ms + FUTILE_FOR_MS;
            futile.insert(room_id.to_owned(), Futile { ends, until_ms });
        }
    }
}

/// The servers to ask: those that are in the room now, and first those that made what is asked for where IDs tell that.
pub(super) fn servers(gate: &RoomGate, ends: &[OwnedEventId]) -> Vec<OwnedServerName> {
    let makers = ends.iter().filter_map(|end| end.server_name());
    let mut servers: Vec<OwnedServerName> = Vec::new();
    for server in makers.chain(gate.others.iter().map(|server| &**server)) {
        let is_in = gate.others.iter().any(|other| other == server);
        if is_in && !servers.iter().any(|known| known == server) {
            servers.push(server.to_owned());
        }
    }
    servers.truncate(SERVERS_MAX);
    servers
}

fn past(pdu: CheckedPdu) -> ReceivedEvent {
    let role = Role::Past;
    ReceivedEvent { pdu, role }
}

/// Those of some events that some ends, or what these rest on, name as predecessors, oldest first.
fn connected(checked: Vec<CheckedPdu>, ends: &[OwnedEventId]) -> Vec<CheckedPdu> {
    let by_id = checked.into_iter().map(|pdu| (pdu.event_id.clone(), pdu));
    let mut open: BTreeMap<_, _> = by_id.collect();
    let mut met = Vec::new();
    let mut next: VecDeque<OwnedEventId> = ends.iter().cloned().collect();
    while let Some(event_id) = next.pop_front() {
        if let Some(pdu) = open.remove(&event_id) {
            next.extend(pdu.prev_events.iter().cloned());
            met.push(pdu);
        }
    }
    in_graph_order(in_auth_order(met), |pdu| pdu)
}

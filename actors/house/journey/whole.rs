//! Fetching the members that a server left out when it let somebody into a room, while the room is in use already ("faster joins": MSC3706, MSC3902).
//!
//! One task for each such room, which tries until it has them or nobody of this server is in the room any more; after a start they all begin again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Shard},
    models::{Model as _, partial_rooms, partial_rooms::PartialRooms},
};
use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName};
use tokio::sync::{Semaphore, watch};

use super::arrive::{Arrival, SMALL_CHUNK};
use crate::{
    house::{
        House, HouseError,
        parked_pdus::{ParkedTurns, receive_after_members},
        peers::{Patience, segment},
    },
    room::{
        RoomError,
        answer::RoomGate,
        gaps::PartialState,
        receive::{Occasion, Receive},
    },
};

/// So long somebody waits for members, if what is asked depends on them.
const WITHIN: Duration = Duration::from_secs(30);

/// So long is waited after a first attempt that came to nothing; twice as long after each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// No longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// So often it is tried to learn which rooms that have come to this node have gaps.
const LOOKS: usize = 10;

/// So many servers are asked at an attempt.
const SERVERS_MAX: usize = 5;

/// The members of so many rooms are fetched at a time.
const ROOMS_AT_ONCE: usize = 8;

/// The rooms whose members are being fetched: who waits sees the channel close.
pub(super) struct Completions {
    under_way: Mutex<BTreeMap<OwnedRoomId, UnderWay>>,
    places: Arc<Semaphore>,
    parked: ParkedTurns,
}

/// The fetching of a room's members.
struct UnderWay {
    ended: watch::Receiver<()>,
    /// It was asked for again meanwhile: it may be another state by now that has gaps.
    is_wanted_again: bool,
}

impl Completions {
    /// Ends the fetching of a room's members, unless it was asked for again.
    fn end(&self, room_id: &RoomId) -> bool {
        let mut under_way = self.under_way.lock();
        let again = under_way
            .get_mut(room_id)
            .map(|one| &mut one.is_wanted_again);
        let is_over = !again.is_some_and(std::mem::take);
        if is_over {
            under_way.remove(room_id);
        }
        is_over
    }
}

impl Default for Completions {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
            places: Arc::new(Semaphore::new(ROOMS_AT_ONCE)),
            parked: ParkedTurns::default(),
        }
    }
}

impl House {
    /// Goes on with all rooms of whose members some were not known when the server ended.
    pub(in crate::house) fn complete_rooms(self: &Arc<Self>) {
        let house = Arc::downgrade(self);
        self.runtime.spawn(async move {
            let Some(house) = house.upgrade() else {
                return;
            };
            match house.partial_rooms().await {
                Ok(rooms) => rooms
                    .iter()
                    .for_each(|room_id| drop(house.complete_room(room_id))),
                // A request that depends on members has them fetched, too.
                Err(error) => tracing::warn!(%error, "rooms with gaps are not known"),
            }
        });
    }

    /// Goes on with the rooms in these shards of whose members some are not known.
    pub(in crate::house) fn complete_rooms_in(&self, shards: Vec<Shard>) {
        let house = self.myself.clone();
        self.runtime.spawn(async move {
            for _ in 0..LOOKS {
                let Some(house) = house.upgrade() else {
                    return;
                };
                match house.partial_rooms().await {
                    Ok(rooms) => {
                        let layout = house.store.layout();
                        let of = |room_id: &RoomId| Entity::room(room_id.as_str());
                        let here =
                            |room_id: &RoomId| shards.contains(&layout.shard_of(&of(room_id)));
                        let ours = rooms.iter().filter(|room_id| here(room_id));
                        ours.for_each(|room_id| drop(house.complete_room(room_id)));
                        return;
                    }
                    Err(error) => tracing::warn!(%error, "rooms with gaps are not known"),
                }
                drop(house);
                tokio::time::sleep(PAUSE_MIN).await;
            }
        });
    }

    async fn partial_rooms(&self) -> Result<Vec<OwnedRoomId>, HouseError> {
        self.models.caught_up(PartialRooms::NAME).await?;
        let rooms = partial_rooms::all(&*self.store.models()).await;
        let rooms = rooms.map_err(|error| HouseError::Store(error.to_string()))?;
        let rooms = rooms.into_iter();
        Ok(rooms
            .filter_map(|room_id| RoomId::parse(room_id).ok())
            .collect())
    }

    /// Has the members of a room fetched. The channel closes when that ends.
    pub(in crate::house) fn complete_room(&self, room_id: &RoomId) -> watch::Receiver<()> {
        let mut under_way = self.journeys.completions.under_way.lock();
        if let Some(one) = under_way.get_mut(room_id) {
            one.is_wanted_again = true;
            return one.ended.clone();
        }
        let (ending, ended) = watch::channel(());
        let one = UnderWay {
            ended: ended.clone(),
            is_wanted_again: false,
        };
        under_way.insert(room_id.to_owned(), one);
        let (house, places) = (
            self.myself.clone(),
            self.journeys.completions.places.clone(),
        );
        let room_id = room_id.to_owned();
        self.runtime.spawn(async move {
            let is_known = fetch_until_known(house.clone(), (places, &room_id)).await;
            drop(ending);
            // What has waited for them may take long: nobody waits for that.
            if is_known {
                receive_after_members(house, room_id).await;
            }
        });
        ended
    }

    /// Waits a while until the members of a room are known.
    pub(in crate::house) async fn known_whole(&self, room_id: &RoomId) {
        let mut ended = self.complete_room(room_id);
        // It is closed, or the time is over: whoever waited looks for himself.
        let _ = tokio::time::timeout(WITHIN, ended.changed()).await;
    }

    /// What a room says of a server, once its members are known.
    pub(in crate::house) async fn whole_gate(
        &self,
        room_id: &RoomId,
        server: &ServerName,
    ) -> Result<RoomGate, HouseError> {
        let gate = self.room_gate(room_id, server).await?;
        if gate.partial.is_none() {
            return Ok(gate);
        }
        self.known_whole(room_id).await;
        let gate = self.room_gate(room_id, server).await?;
        match gate.partial {
            None => Ok(gate),
            Some(_) => Err(RoomError::PartialState.into()),
        }
    }

    /// The rooms in which what has waited is being taken in.
    pub(in crate::house) fn parked_turns(&self) -> &ParkedTurns {
        &self.journeys.completions.parked
    }

    /// One attempt. Whether there is nothing more to do.
    async fn fetch_members(&self, room_id: &RoomId, attempt: usize) -> Result<bool, HouseError> {
        let gate = match self.room_gate(room_id, self.env.server_name()).await {
            Err(HouseError::Room(RoomError::UnknownRoom)) => return Ok(true),
            gate => gate?,
        };
        let Some(partial) = gate.partial.clone().filter(|_| gate.inhabited) else {
            return Ok(true);
        };
        for server in self.to_be_asked(&partial, attempt) {
            let room = segment(room_id.as_str());
            let join = segment(partial.join.as_str());
            let path = format!("/_matrix/federation/v1/state/{room}?event_id={join}");
            let told = match self.ask_peer(&server, path, Patience::LONG).await {
                Ok(told) => told,
                Err(error) => {
                    tracing::info!(%server, %room_id, %error, "the members of a room are not told");
                    continue;
                }
            };
            self.take_members(room_id, (&gate, &partial), told).await?;
            let gate = self.room_gate(room_id, self.env.server_name()).await?;
            if gate.partial.is_none() {
                tracing::info!(%server, %room_id, "all members of a room are known");
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The server that let somebody in, and each time others.
    fn to_be_asked(&self, partial: &PartialState, attempt: usize) -> Vec<OwnedServerName> {
        let mut servers = partial.servers.iter();
        let first = servers.next();
        let others = partial.servers.len().saturating_sub(1).max(1);
        let skipped = attempt.wrapping_mul(SERVERS_MAX - 1) % others;
        let rest = servers
            .cycle()
            .skip(skipped)
            .take(others.min(SERVERS_MAX - 1));
        let asked = first.into_iter().chain(rest);
        let asked = asked.filter(|server| !self.is_local(server));
        asked.cloned().collect()
    }

    async fn take_members(
        &self,
        room_id: &RoomId,
        (gate, partial): (&RoomGate, &PartialState),
        told: Arrival,
    ) -> Result<(), HouseError> {
        let unsupported = || RoomError::UnsupportedVersion(gate.version.clone());
        let rules = gate.version.rules().ok_or_else(unsupported)?;
        let Ok((events, state)) = self.sound_state(room_id, &rules, told).await else {
            tracing::info!(%room_id, "what is told of a room's members is no state");
            return Ok(());
        };
        let room = (room_id, &gate.version);
        let events = self.receive_chunks(room, events, SMALL_CHUNK).await?;
        let wish = Receive {
            events,
            occasion: Occasion::Completion {
                join: partial.join.clone(),
                state,
            },
        };
        self.receive_wish(room_id, None, wish).await?;
        Ok(())
    }
}

/// Whether the members of the room are known now, or nobody is in it.
async fn fetch_until_known(
    house: Weak<House>,
    (places, room_id): (Arc<Semaphore>, &RoomId),
) -> bool {
    let mut pause = PAUSE_MIN;
    for attempt in 0.. {
        let Some(house) = house.upgrade().filter(|house| house.env.network.is_on()) else {
            return false;
        };
        // Nothing closes the semaphore.
        let place = places.clone().acquire_owned().await;
        match house.fetch_members(room_id, attempt).await {
            Ok(true) if house.journeys.completions.end(room_id) => return true,
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%room_id, %error, "a room's members are not known yet"),
        }
        drop((place, house));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    false
}

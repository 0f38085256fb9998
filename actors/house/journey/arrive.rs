//! Coming into a room: the state that a server answers a join with is checked, and becomes the room as it is known here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use playhouse_schema::record::room::Placement;
use ruma::{
    OwnedEventId, RoomId, RoomVersionId, ServerName, events::TimelineEventType,
    room_version_rules::RoomVersionRules,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::handshake::{Finished, Journey, Setback};
use crate::{
    house::{House, HouseError, aside::aside, event_keys::BatchKeys, receive::outlier},
    network::KeysWanted,
    room::receive::{CheckedPdu, Fate, Occasion, Receive, ReceivedEvent, Role, check::RawPdu},
};

/// A room whose state and authorising events are more than these is not joined.
const EVENTS_MAX: usize = 300_000;

/// So many servers are believed to be in a room whose members are not told.
const SERVERS_MAX: usize = 20_000;

/// So many events are handed at a time to a room into which somebody comes: nobody asks it anything yet.
const CHUNK: usize = 20_000;

/// So many to a room that is in use: who asks it something meanwhile waits until they are recorded.
pub(super) const SMALL_CHUNK: usize = 256;

/// So many events are checked in one go, aside.
const CHECKED_AT_ONCE: usize = 250;

/// What a server answers a join with.
#[derive(Deserialize)]
pub(super) struct Arrival {
    #[serde(alias = "pdus")]
    state: Vec<Box<RawValue>>,
    auth_chain: Vec<Box<RawValue>>,
    event: Option<Box<RawValue>>,
    #[serde(default)]
    members_omitted: bool,
    #[serde(default)]
    servers_in_room: Vec<String>,
}

impl Arrival {
    /// Whether all members were told, and if not, which servers are in the room.
    fn occasion(&self, server: &ServerName) -> Occasion {
        if !self.members_omitted {
            return Occasion::News;
        }
        let mut servers = vec![server.to_owned()];
        let told = self.servers_in_room.iter().take(SERVERS_MAX);
        for name in told.filter_map(|name| ServerName::parse(name).ok()) {
            if name != server {
                servers.push(name);
            }
        }
        Occasion::PartialArrival(servers)
    }
}

/// What of an answer is sound.
struct Sound {
    /// The state before the join, and what authorises it: each event behind those that it names.
    events: Vec<CheckedPdu>,
    state: Vec<OwnedEventId>,
    join: CheckedPdu,
}

impl House {
    /// Makes the room from a server's answer, with the join as its newest event.
    pub(super) async fn arrive(
        &self,
        server: &ServerName,
        journey: &Journey,
        (finished, answer): (Finished, Arrival),
    ) -> Result<(), Setback> {
        let version = finished.version.clone();
        let occasion = answer.occasion(server);
        let is_partial = matches!(occasion, Occasion::PartialArrival(_));
        let sound = self.sound(&journey.room_id, finished, answer).await?;
        let events = sound.events.into_iter();
        let events = events.map(|pdu| pdu.brought_by(server)).collect();
        let mut events = self.receive_first(journey, &version, events).await?;
        let event_id = sound.join.event_id.clone();
        events.push(ReceivedEvent {
            pdu: sound.join,
            role: Role::Given {
                state: sound.state,
                placement: Placement::Live,
            },
        });
        let wish = Receive { events, occasion };
        let received = self.receive_wish(&journey.room_id, Some(version), wish);
        match received.await?.last() {
            Some((id, Fate::Accepted | Fate::Known)) if *id == event_id => {
                if is_partial {
                    self.complete_room(&journey.room_id);
                }
                Ok(())
            }
            fate => Err(Setback::nonsense(format!(
                "the join does not stand in the state that came with it: {fate:?}"
            ))),
        }
    }

    /// Has a room into which somebody comes take in what only authorises, and notes how far that is; answers the rest.
    async fn receive_first(
        &self,
        journey: &Journey,
        version: &RoomVersionId,
        mut events: Vec<CheckedPdu>,
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        let all = events.len();
        self.note_progress(journey, (0, all as u64)).await?;
        while events.len() > CHUNK {
            let rest = events.split_off(CHUNK);
            let chunk = std::mem::replace(&mut events, rest);
            let chunk = chunk.into_iter().map(outlier).collect();
            self.receive(&journey.room_id, Some(version.clone()), chunk)
                .await?;
            let done = all - events.len();
            self.note_progress(journey, (done as u64, all as u64))
                .await?;
        }
        Ok(events.into_iter().map(outlier).collect())
    }

    /// Has a room take in what only authorises, as long as there is more than it takes at a time; answers the rest. Nobody waits for it: half of the time is
    /// left to what somebody waits for.
    pub(super) async fn receive_chunks(
        &self,
        (room_id, version): (&RoomId, &RoomVersionId),
        mut events: Vec<CheckedPdu>,
        at_a_time: usize,
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        while events.len() > at_a_time {
            let rest = events.split_off(at_a_time);
            let chunk = std::mem::replace(&mut events, rest);
            let chunk = chunk.into_iter().map(outlier).collect();
            let begun = Instant::now();
            self.receive(room_id, Some(version.clone()), chunk).await?;
            tokio::time::sleep(begun.elapsed()).await;
        }
        Ok(events.into_iter().map(outlier).collect())
    }

    /// A join that another server vouches for, in a room in which this one is: it is an event like others.
    pub(super) async fn arrive_among_us(
        &self,
        server: &ServerName,
        journey: &Journey,
        (finished, answer): (Finished, Arrival),
    ) -> Result<(), Setback> {
        let event_id = &finished.event.event_id;
        let event = answer.event.unwrap_or(finished.event.json);
        let received = self.receive_pdus(server, vec![event]).boxed();
        let mut outcomes = received.await?;
        match outcomes.remove(event_id) {
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(Setback::nonsense(reason)),
            None => Err(Setback::nonsense(format!(
                "{} was not let into {} with the event that was sent",
                journey.user_id, journey.room_id
            ))),
        }
    }

    /// Checks an answer: what does not hold is left out, the join must hold.
    async fn sound(
        &self,
        room_id: &RoomId,
        finished: Finished,
        answer: Arrival,
    ) -> Result<Sound, Setback> {
        let rules = &finished.rules;
        let mut wanted = KeysWanted::new();
        let joins = join_events(&finished, answer.event.as_deref(), &mut wanted)?;
        let keys = self.keys_for(wanted).await;
        let mut join = Err(Setback::nonsense("the join was not signed"));
        for event in joins {
            join = event
                .check(room_id, rules, &keys)
                .map_err(Setback::nonsense);
            if join.is_ok() {
                break;
            }
        }
        let join = join?;
        let (events, state) = self.sound_state(room_id, rules, answer).await?;
        let is_state = |pdu: &&CheckedPdu| state.contains(&pdu.event_id);
        check_create(events.iter().filter(is_state), &finished.version)?;
        Ok(Sound {
            events,
            state,
            join,
        })
    }

    /// What of a state that another server tells is sound, with what authorises it; and which of these events are the state.
    pub(super) async fn sound_state(
        &self,
        room_id: &RoomId,
        rules: &RoomVersionRules,
        answer: Arrival,
    ) -> Result<(Vec<CheckedPdu>, Vec<OwnedEventId>), Setback> {
        if answer.state.len() + answer.auth_chain.len() > EVENTS_MAX {
            return Err(Setback::nonsense("the room is too large"));
        }
        let reading = (answer, rules.clone());
        let read = aside(move || read(reading.0, &reading.1)).await;
        let Some(Read {
            events,
            state,
            all,
            wanted,
        }) = read
        else {
            return Err(Setback::nonsense("its state cannot be read"));
        };
        let keys = self.batch_keys(rules, (&*events, wanted)).await;
        let checked = checked_aside(room_id, events, (rules.clone(), keys)).await;
        let good = aside(move || rooted(checked)).await.unwrap_or_default();
        if good.len() < all {
            let unsound = all - good.len();
            tracing::info!(%room_id, all, unsound, "a room's state is not sound in all its parts");
        }
        let is_state = |pdu: &&CheckedPdu| pdu.is_state() && state.contains(&pdu.event_id);
        let state = good.iter().filter(is_state);
        let state = state.map(|pdu| pdu.event_id.clone()).collect();
        Ok((good, state))
    }
}

/// Checks events on threads of their own, so that who waits for the others need not wait for these: those that are sound, in their order.
async fn checked_aside(
    room_id: &RoomId,
    mut raw: Vec<RawPdu>,
    (rules, keys): (RoomVersionRules, BatchKeys),
) -> Vec<CheckedPdu> {
    let means = Arc::new((room_id.to_owned(), rules, keys));
    let mut lists = Vec::with_capacity(raw.len() / CHECKED_AT_ONCE + 1);
    while !raw.is_empty() {
        let rest = raw.split_off(raw.len().min(CHECKED_AT_ONCE));
        lists.push(std::mem::replace(&mut raw, rest));
    }
    // Half of the machine is left to everybody else.
    let threads =
        std::thread::available_parallelism().map_or(1, |threads| threads.get().div_ceil(2));
    let lists = stream::iter(lists).map(|list| {
        let means = means.clone();
        aside(move || -> Vec<CheckedPdu> {
            let (room_id, rules, keys) = &*means;
            let checked = list.into_iter();
            let checked = checked.filter_map(|pdu| {
                give_processor();
                let keys = keys.of(&pdu.event_id);
                pdu.check(room_id, rules, keys).ok()
            });
            checked.collect()
        })
    });
    let checked: Vec<_> = lists.buffered(threads).collect().await;
    // What a thread did not finish is not sound either.
    checked.into_iter().flatten().flatten().collect()
}

/// What an answer holds.
struct Read {
    /// Those events of which it can be said who must have signed them.
    events: Vec<RawPdu>,
    /// Which of them are the state.
    state: BTreeSet<OwnedEventId>,
    /// How many it held.
    all: usize,
    /// What the events are checked with.
    wanted: KeysWanted,
}

/// The events of an answer. What is no event is left out.
fn read(answer: Arrival, rules: &RoomVersionRules) -> Read {
    let mut raw = BTreeMap::new();
    let mut state = BTreeSet::new();
    let of_state = answer.state.into_iter().map(|text| (true, text));
    let texts = answer.auth_chain.into_iter().map(|text| (false, text));
    for (is_state, text) in texts.chain(of_state) {
        give_processor();
        if let Ok(pdu) = RawPdu::read(text.get(), rules).map(RawPdu::of_past) {
            if is_state {
                state.insert(pdu.event_id.clone());
            }
            raw.insert(pdu.event_id.clone(), pdu);
        }
    }
    let all = raw.len();
    let mut wanted = KeysWanted::new();
    let mut is_wanted = |pdu: &RawPdu| {
        give_processor();
        pdu.want_keys(rules, &mut wanted).is_ok()
    };
    let events = raw.into_values().filter(|pdu| is_wanted(pdu)).collect();
    Read {
        events,
        state,
        all,
        wanted,
    }
}

/// Whatever waits for this processor goes first: a thread that never pauses is taken off it only some milliseconds later.
fn give_processor() {
    std::thread::yield_now();
}

/// The join as the other server has signed it, too, and as it was made here; in a restricted room it is nothing without the other signature.
fn join_events(
    finished: &Finished,
    theirs: Option<&RawValue>,
    wanted: &mut KeysWanted,
) -> Result<Vec<RawPdu>, Setback> {
    let rules = &finished.rules;
    let mut joins = Vec::with_capacity(2);
    if let Some(theirs) = theirs {
        let theirs = RawPdu::read(theirs.get(), rules);
        // Another event than the one that was sent is nothing that this server has agreed to.
        let same = |theirs: &RawPdu| theirs.event_id == finished.event.event_id;
        joins.extend(theirs.ok().filter(same));
    }
    if !finished.needs_voucher {
        let own = RawPdu::read(finished.event.json.get(), rules);
        joins.push(own.map_err(Setback::nonsense)?);
    }
    joins.retain(|join| join.want_keys(rules, wanted).is_ok());
    Ok(joins)
}

/// Those of some events whose authorising events are among them, each behind those that authorise it.
fn rooted(checked: Vec<CheckedPdu>) -> Vec<CheckedPdu> {
    let mut open = BTreeMap::new();
    let mut waiting: BTreeMap<OwnedEventId, Vec<OwnedEventId>> = BTreeMap::new();
    let mut ready = VecDeque::new();
    for pdu in checked {
        let needs: BTreeSet<_> = pdu.auth_events.iter().cloned().collect();
        for need in &needs {
            let those = waiting.entry(need.clone()).or_default();
            those.push(pdu.event_id.clone());
        }
        if pdu.event_type == TimelineEventType::RoomCreate {
            // Not all room versions name it among what authorises an event.
            ready.push_front(pdu.event_id.clone());
        } else if needs.is_empty() {
            ready.push_back(pdu.event_id.clone());
        }
        open.insert(pdu.event_id.clone(), (needs.len(), pdu));
    }
    let mut rooted = Vec::with_capacity(open.len());
    while let Some(event_id) = ready.pop_front() {
        if let Some((_, event)) = open.remove(&event_id) {
            rooted.push(event);
        }
        for next in waiting.remove(&event_id).unwrap_or_default() {
            if let Some((left, _)) = open.get_mut(&next) {
                *left -= 1;
                if *left == 0 {
                    ready.push_back(next);
                }
            }
        }
    }
    rooted
}

/// The state begins with one create event, of the version that was told.
fn check_create<'a>(
    state: impl Iterator<Item = &'a CheckedPdu>,
    version: &RoomVersionId,
) -> Result<(), Setback> {
    #[derive(Deserialize)]
    struct Content {
        room_version: Option<RoomVersionId>,
    }
    let mut creates = state.filter(|pdu| pdu.event_type == TimelineEventType::RoomCreate);
    let (Some(create), None) = (creates.next(), creates.next()) else {
        return Err(Setback::nonsense("a state without its create event"));
    };
    let named = create
        .content_as::<Content>()
        .and_then(|it| it.room_version);
    if named.unwrap_or(RoomVersionId::V1) != *version {
        return Err(Setback::nonsense("the room is of another version"));
    }
    Ok(())
}

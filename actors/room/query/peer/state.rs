//! The state before an event, and what authorises events.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use playhouse_schema::{address::Sequence, record::room::Placement};
use ruma::{EventId, OwnedEventId, events::StateEventType};

use super::{
    super::{
        super::{
            error::RoomError,
            event::RoomEvent,
            peer::PeerAnswer,
            state::{Room, StateMap},
            wire::wire_form,
        },
        View,
        history::History,
        past::Moment,
    },
    finder::{Finder, is_told},
};

/// A longer auth chain is not told: no room has one but by somebody's ill will.
const CHAIN_EVENTS_MAX: usize = 200_000;

/// How often the replacements of all keys are read in one go before single ones are followed.
const ROUNDS_MAX: usize = 100;

/// The state before an event, and its auth chain.
pub(super) async fn state(view: &mut View, event_id: &EventId) -> Result<PeerAnswer, RoomError> {
    let (state, chain) = state_and_chain(view, event_id).await?;
    Ok(PeerAnswer::State {
        pdus: state.values().map(|event| wire_form(&event.pdu)).collect(),
        auth_chain: chain.iter().map(|event| wire_form(&event.pdu)).collect(),
    })
}

/// The same by IDs.
pub(super) async fn state_ids(
    view: &mut View,
    event_id: &EventId,
) -> Result<PeerAnswer, RoomError> {
    let (state, chain) = state_and_chain(view, event_id).await?;
    let id = |event: &Arc<RoomEvent>| event.pdu.event_id.clone();
    Ok(PeerAnswer::StateIds {
        pdu_ids: state.values().map(id).collect(),
        auth_chain_ids: chain.iter().map(id).collect(),
    })
}

/// What authorises an event, the oldest first; without the event itself.
pub(super) async fn auth_chain(
    view: &mut View,
    event_id: &EventId,
) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let event = known(view, event_id).await?;
    let chain = chain_of(&mut view.history, &room, [&event].into_iter()).await?;
    Ok(chain.iter().map(|event| wire_form(&event.pdu)).collect())
}

async fn state_and_chain(
    view: &mut View,
    event_id: &EventId,
) -> Result<(StateMap, Vec<Arc<RoomEvent>>), RoomError> {
    let room = view.room().clone();
    let event = known(view, event_id).await?;
    let state = before(&mut view.history, &event).await?;
    let chain = chain_of(&mut view.history, &room, state.values()).await?;
    Ok((state, chain))
}

/// The state before an event.
pub(super) async fn before(
    history: &mut History,
    event: &RoomEvent,
) -> Result<StateMap, RoomError> {
    if event.placement == Placement::Outlier {
        // Nobody knows what was in force there.
        return Err(RoomError::NotFound);
    }
    let moment = if history.room.forked {
        Moment::State(event.before)
    } else {
        let until = event.sequence - 1;
        read_replaced(history, until).await?;
        Moment::After(until)
    };
    history.state(moment).await
}

async fn known(view: &mut View, event_id: &EventId) -> Result<Arc<RoomEvent>, RoomError> {
    let found = view.history.find(event_id).await?;
    found
        .filter(|event| is_told(event))
        .ok_or(RoomError::NotFound)
}

/// Brings to hand what was in force after a record in place of what is now: all keys at once, not one read for each.
async fn read_replaced(history: &mut History, until: Sequence) -> Result<(), RoomError> {
    let current = history.room.current.values();
    let mut newer: Vec<_> = current
        .filter(|event| event.sequence > until)
        .cloned()
        .collect();
    for _ in 0..ROUNDS_MAX {
        let replaced: Vec<_> = newer.iter().filter_map(|event| event.replaces).collect();
        if replaced.is_empty() {
            break;
        }
        history.load(&replaced).await?;
        newer = replaced
            .into_iter()
            .filter(|sequence| *sequence > until)
            .filter_map(|sequence| history.held(sequence).cloned())
            .collect();
    }
    Ok(())
}

/// What authorises some events, and what that, and so on; the shallowest first.
pub(super) async fn chain_of<'a>(
    history: &mut History,
    room: &Room,
    events: impl Iterator<Item = &'a Arc<RoomEvent>>,
) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
    let mut finder = Finder::with_state(room);
    let mut next: BTreeSet<OwnedEventId> =
        events.flat_map(|event| auth_events(room, event)).collect();
    let mut seen = next.clone();
    let mut chain = BTreeMap::new();
    while !next.is_empty() {
        let wanted: Vec<_> = std::mem::take(&mut next).into_iter().collect();
        for event in finder.many(history, &wanted).await? {
            for event_id in auth_events(room, &event) {
                if seen.insert(event_id.clone()) {
                    next.insert(event_id);
                }
            }
            chain.insert((event.pdu.depth, event.pdu.event_id.clone()), event);
        }
        if seen.len() > CHAIN_EVENTS_MAX {
            return Err(RoomError::TooLarge);
        }
    }
    Ok(chain.into_values().collect())
}

/// The auth events of an event. From room version 12 on the create event is one of them without being named.
fn auth_events(room: &Room, event: &RoomEvent) -> Vec<OwnedEventId> {
    let mut ids = event.pdu.auth_events.clone();
    let unnamed = room
        .rules
        .as_ref()
        .is_some_and(|rules| rules.authorization.room_create_event_id_as_room_id);
    if let Some(create) = room.state_event(&StateEventType::RoomCreate, "")
        && unnamed
        && create.pdu.event_id != event.pdu.event_id
    {
        ids.push(create.pdu.event_id.clone());
    }
    ids
}

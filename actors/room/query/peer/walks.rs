//! Walks back through the event graph.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use playhouse_schema::record::room::Placement;
use ruma::OwnedEventId;

use super::{
    super::{
        super::{error::RoomError, event::RoomEvent, peer::MissingEvents},
        View,
    },
    finder::{Finder, is_told},
    shown,
    sight::PeerSight,
};

/// So many events are told at most.
const EVENTS_MAX: usize = 100;

/// So many events may be named to begin with, or to stop at.
const NAMED_MAX: usize = 100;

/// So many events are looked at for one question: those that are not told count too.
const STEPS_MAX: usize = 2_000;

/// Events, and what precedes them: the deepest first.
pub(super) async fn backfill(
    view: &mut View,
    sight: &mut PeerSight,
    (from, limit): (&[OwnedEventId], usize),
) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let mut finder = Finder::new(&room);
    let mut met: BTreeSet<OwnedEventId> = BTreeSet::new();
    let mut ahead = BTreeMap::new();
    let mut next: Vec<OwnedEventId> = from.iter().take(NAMED_MAX).cloned().collect();
    let mut told = Vec::new();
    let limit = limit.min(EVENTS_MAX);
    for _ in 0..STEPS_MAX {
        if told.len() >= limit {
            break;
        }
        for event_id in next.drain(..) {
            if !met.insert(event_id.clone()) {
                continue;
            }
            let found = finder.one(&mut view.history, &event_id).await?;
            if let Some(event) = found.filter(|event| event.placement != Placement::Outlier) {
                ahead.insert((event.pdu.depth, event_id), event);
            }
        }
        let Some((_, event)) = ahead.pop_last() else {
            break;
        };
        if is_told(&event) {
            told.push(shown(view, sight, &event).await?);
        }
        next.clone_from(&event.pdu.prev_events);
    }
    Ok(told)
}

/// What precedes the latest events as far as the earliest: the nearest to the latest, told the oldest first.
pub(super) async fn missing_events(
    view: &mut View,
    sight: &mut PeerSight,
    gap: &MissingEvents,
) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let mut finder = Finder::new(&room);
    let named = |ids: &[OwnedEventId]| -> Vec<_> { ids.iter().take(NAMED_MAX).cloned().collect() };
    let mut met: BTreeSet<OwnedEventId> = named(&gap.earliest).into_iter().collect();
    let mut front = named(&gap.latest);
    met.extend(front.iter().cloned());
    let mut missing: Vec<Arc<RoomEvent>> = Vec::new();
    let (limit, mut steps) = (gap.limit.min(EVENTS_MAX), 0);
    let mut is_first = true;
    while !front.is_empty() && missing.len() < limit && steps < STEPS_MAX {
        let mut next = Vec::new();
        for event_id in &front {
            steps += 1;
            let found = finder.one(&mut view.history, event_id).await?;
            let Some(event) = found.filter(|event| event.placement != Placement::Outlier) else {
                continue;
            };
            if !is_first {
                if event.pdu.depth < gap.min_depth {
                    continue;
                }
                if is_told(&event) && missing.len() < limit {
                    missing.push(event.clone());
                }
            }
            let prev_events = event.pdu.prev_events.iter();
            next.extend(prev_events.filter(|id| met.insert((*id).clone())).cloned());
        }
        is_first = false;
        front = next;
    }
    missing.sort_by_key(|event| (event.pdu.depth, event.sequence));
    let mut told = Vec::with_capacity(missing.len());
    for event in &missing {
        told.push(shown(view, sight, event).await?);
    }
    Ok(told)
}

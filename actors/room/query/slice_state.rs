//! The state part of a slice: exactly what has changed, whatever the timeline left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::address::Sequence;
use ruma::{
    OwnedUserId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        gaps::Closed,
        state::{StateKey, StateMap, membership_of},
        window::{StateWish, Window},
    },
    filter::EventFilter,
    history::History,
    past::Moment,
    timeline::Shown,
    visibility::member_key,
    window::wished,
};
use crate::kernel::give_way;

/// So many values are compared without letting others go on.
const COMPARED_AT_ONCE: usize = 256;

/// What a slice covers, by the records between which its parts lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// The client has everything up to this record.
    pub(super) since: Sequence,
    /// The timeline begins just after this one.
    pub(super) start: Sequence,
    /// The slice ends with this one.
    pub(super) end: Sequence,
}

/// A key of the state that changed in the interval.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    /// The value before the timeline.
    start: Option<Arc<RoomEvent>>,
    /// The value at the end.
    end: Option<Arc<RoomEvent>>,
    /// The value before the timeline is not what the client had.
    in_gap: bool,
    /// What the client had; known only where the states have branched.
    had: Option<Arc<RoomEvent>>,
}

/// What changed, by key.
pub(super) type Changes = BTreeMap<StateKey, Change>;

/// What the client needs of the state.
pub(super) struct Needs<'a> {
    /// What it wants of state at all, and whether members only as needed.
    pub(super) filter: &'a EventFilter,
    /// All of it, not only what changed.
    pub(super) full: bool,
    /// As of the end of the timeline instead of its start.
    pub(super) after: bool,
    /// For sliding sync: which state it is.
    pub(super) window: Option<&'a Window>,
    /// The timeline.
    pub(super) shown: &'a [Shown],
    /// Members that need not be sent for the timeline's or the heroes' sake.
    pub(super) known: BTreeSet<OwnedUserId>,
    /// The reader.
    pub(super) own: &'a UserId,
    /// The heroes that the answer names.
    pub(super) heroes: &'a [OwnedUserId],
}

impl Interval {
    /// Looks for what changed.
    pub(super) async fn changes(&self, history: &mut History) -> Result<Changes, RoomError> {
        let mut changes = Changes::new();
        let closed = history.room.gaps.closed_between(self.since, self.end);
        let is_as_it_was = self.since >= history.room.current_id && closed.is_empty();
        if self.since >= self.end || is_as_it_was {
            return Ok(changes);
        }
        let at_since = history.after_record(self.since).await?;
        let at_start = history.after_record(self.start).await?;
        let at_end = history.after_record(self.end).await?;
        for (number, key) in (1_usize..).zip(self.keys(history, at_since).await?) {
            if number.is_multiple_of(COMPARED_AT_ONCE) {
                give_way().await;
            }
            let end = history.value(at_end, &key).await?;
            let (start, had, in_gap) = if history.room.forked {
                let start = history.value(at_start, &key).await?;
                let had = history.value(at_since, &key).await?;
                let in_gap = sequence_of(&start) != sequence_of(&had);
                (start, had, in_gap)
            } else {
                let start = self.start_value(history, &end).await?;
                let in_gap = sequence_of(&start) > Some(self.since);
                (start, None, in_gap)
            };
            let changed = in_gap || sequence_of(&start) != sequence_of(&end);
            if changed {
                let change = Change {
                    start,
                    end,
                    in_gap,
                    had,
                };
                changes.insert(key, change);
            }
        }
        for closed in closed {
            self.add_filled_in(history, closed, &mut changes).await?;
        }
        Ok(changes)
    }

    /// Members that were not known at `since`: what is known of that time now has them, what the client was told has not.
    async fn add_filled_in(
        &self,
        history: &mut History,
        closed: Closed,
        changes: &mut Changes,
    ) -> Result<(), RoomError> {
        let at_end = history.after_record(self.end).await?;
        let in_gap = self.start >= closed.at;
        for change in history.filled_in(closed).await? {
            let key = (change.event_type.into(), change.state_key);
            if changes.contains_key(&key) {
                continue;
            }
            let end = history.value(at_end, &key).await?;
            let start = in_gap.then(|| end.clone()).flatten();
            let change = Change {
                start,
                end,
                in_gap,
                had: None,
            };
            changes.insert(key, change);
        }
        Ok(())
    }

    /// The value before the timeline, when it matters: a value that the client has already is not looked up.
    async fn start_value(
        &self,
        history: &mut History,
        end: &Option<Arc<RoomEvent>>,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        let mut value = end.clone();
        while let Some(event) = value.take_if(|event| event.sequence > self.start) {
            value = match event.replaces {
                Some(replaced) if replaced > self.since => history.event(replaced).await?,
                _ => None,
            };
        }
        Ok(value)
    }

    /// The keys that may have changed.
    async fn keys(
        &self,
        history: &mut History,
        at_since: Moment,
    ) -> Result<BTreeSet<StateKey>, RoomError> {
        if history.room.forked || self.since + 1 < history.window_start() {
            return history.changed_since(at_since).await;
        }
        let recent = &history.room.recent;
        let first = recent.partition_point(|event| event.sequence <= self.since);
        let last = recent.partition_point(|event| event.sequence <= self.end);
        Ok(recent
            .range(first..last.max(first))
            .filter_map(|event| {
                let state_key = event.pdu.state_key.clone()?;
                Some((event.pdu.event_type.clone(), state_key))
            })
            .collect())
    }

    /// The state events to send.
    pub(super) async fn state(
        &self,
        history: &mut History,
        changes: &Changes,
        needs: &Needs<'_>,
    ) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
        if self.end == 0 {
            return Ok(Vec::new());
        }
        let mut picked = Picked::new(needs);
        if needs.full {
            let at = if needs.after { self.end } else { self.start };
            let moment = history.after_record(at).await?;
            match needs.window {
                Some(window) => {
                    picked.take_wished(&wished(history, moment, &window.required_state).await?);
                }
                None => picked.take_all(&history.state(moment).await?),
            }
        } else if let Some(added) = needs.added() {
            let moment = history.after_record(self.end).await?;
            picked.take_wished(&wished(history, moment, added).await?);
        }
        let shown: BTreeSet<_> = needs
            .shown
            .iter()
            .filter_map(|shown| {
                let pdu = &shown.event.pdu;
                Some((&pdu.event_type, pdu.state_key.as_deref()?))
            })
            .collect();
        let unshown = |key: &StateKey| !shown.contains(&(&key.0, key.1.as_str()));
        for (key, change) in changes {
            let differs = sequence_of(&change.start) != sequence_of(&change.end);
            // What changed during the timeline but is not in it would be lost to the client.
            let lost = differs && !needs.after && unshown(key);
            let value = if lost || (needs.after && !needs.full) {
                &change.end
            } else if change.in_gap && !needs.full {
                &change.start
            } else {
                &None
            };
            if let Some(event) = value {
                picked.replace(key, event);
            }
        }
        if needs.filter.lazy_load_members {
            self.take_needed_members(history, &mut picked).await?;
        }
        Ok(picked.events.into_iter().flatten().collect())
    }

    /// The members without whom the timeline cannot be shown.
    async fn take_needed_members(
        &self,
        history: &mut History,
        picked: &mut Picked<'_>,
    ) -> Result<(), RoomError> {
        let needs = picked.needs;
        let at = if needs.after { self.end } else { self.start };
        let senders = needs.shown.iter().map(|shown| &*shown.event.pdu.sender);
        let own = needs.full.then_some(needs.own);
        let heroes = needs.heroes.iter().map(|hero| &**hero);
        let wanted: BTreeSet<&UserId> = senders.chain(own).chain(heroes).collect();
        for user_id in wanted {
            if needs.known.contains(user_id) || !picked.wants_member(user_id) {
                continue;
            }
            let moment = history.after_record(at).await?;
            match history.value(moment, &member_key(user_id)).await? {
                Some(event) => picked.take(&event),
                None => self.take_vouched_member(history, user_id, picked).await?,
            }
        }
        Ok(())
    }
}

impl Interval {
    /// The member event of a sender whom the room does not know yet: one of those that authorise what was sent.
    async fn take_vouched_member(
        &self,
        history: &mut History,
        user_id: &UserId,
        picked: &mut Picked<'_>,
    ) -> Result<(), RoomError> {
        if history.room.partial().is_none() {
            return Ok(());
        }
        let mut shown = picked.needs.shown.iter().map(|shown| &shown.event.pdu);
        let Some(sent) = shown.find(|pdu| pdu.sender == user_id) else {
            return Ok(());
        };
        for event_id in &sent.auth_events {
            let event = history.find(event_id).await?;
            let is_theirs = |event: &Arc<RoomEvent>| {
                event.pdu.event_type == TimelineEventType::RoomMember
                    && event.pdu.state_key.as_deref() == Some(user_id.as_str())
            };
            if let Some(event) = event.filter(is_theirs) {
                picked.take(&event);
                break;
            }
        }
        Ok(())
    }
}

/// The state events picked so far.
struct Picked<'a> {
    needs: &'a Needs<'a>,
    /// `None` where another has come in the place of one.
    events: Vec<Option<Arc<RoomEvent>>>,
    /// Where the event of a key was when the first came in the place of another: there may be tens of thousands.
    places: Option<BTreeMap<StateKey, usize>>,
    members: BTreeSet<String>,
}

impl Needs<'_> {
    /// State of which the client has nothing yet, besides what changed.
    fn added(&self) -> Option<&StateWish> {
        let added = &self.window?.added_state;
        (!added.entries.is_empty()).then_some(added)
    }
}

impl<'a> Picked<'a> {
    fn new(needs: &'a Needs<'a>) -> Self {
        Self {
            needs,
            events: Vec::new(),
            places: None,
            members: BTreeSet::new(),
        }
    }

    /// Whether not only what changed is taken.
    fn has_whole_state(&self) -> bool {
        self.needs.full || self.needs.added().is_some()
    }

    fn take(&mut self, event: &Arc<RoomEvent>) {
        if !self.needs.filter.passes(event) {
            return;
        }
        if self.needs.filter.lazy_load_members
            && event.pdu.event_type == TimelineEventType::RoomMember
            && let Some(user_id) = &event.pdu.state_key
        {
            self.members.insert(user_id.clone());
        }
        self.events.push(Some(event.clone()));
    }

    /// Takes a whole state; with lazy loading without its members.
    fn take_all(&mut self, state: &StateMap) {
        let lazy = self.needs.filter.lazy_load_members;
        for event in state.values() {
            if !(lazy && event.pdu.event_type == TimelineEventType::RoomMember) {
                self.take(event);
            }
        }
    }

    /// Takes state that was asked for by name.
    fn take_wished(&mut self, events: &[Arc<RoomEvent>]) {
        for event in events {
            self.take(event);
        }
    }

    /// Takes a value in the place of what was taken under its key, once for each key.
    fn replace(&mut self, key: &StateKey, event: &Arc<RoomEvent>) {
        if self.needs.full {
            let lazy = self.needs.filter.lazy_load_members;
            if lazy && key.0 == TimelineEventType::RoomMember {
                return;
            }
        }
        if self.has_whole_state() {
            let places = self.places.get_or_insert_with(|| places_of(&self.events));
            let place = places.get(key).copied();
            if let Some(taken) = place.and_then(|place| self.events.get_mut(place)) {
                *taken = None;
            }
        }
        self.take(event);
    }

    fn wants_member(&self, user_id: &UserId) -> bool {
        !self.members.contains(user_id.as_str())
            && self
                .needs
                .filter
                .passes_type(&TimelineEventType::RoomMember)
    }
}

/// Where the event of each key is.
fn places_of(events: &[Option<Arc<RoomEvent>>]) -> BTreeMap<StateKey, usize> {
    let key_of = |event: &Arc<RoomEvent>| {
        let state_key = event.pdu.state_key.clone()?;
        Some((event.pdu.event_type.clone(), state_key))
    };
    let keys = events.iter().map(|event| event.as_ref().and_then(key_of));
    let places = keys.zip(0..);
    places
        .filter_map(|(key, place)| Some((key?, place)))
        .collect()
}

/// Members that joined or left.
pub(super) async fn member_changes(
    history: &mut History,
    changes: &Changes,
    since: Option<Sequence>,
) -> Result<Vec<(OwnedUserId, MembershipState)>, RoomError> {
    // A client to which the room is new asks for all members instead.
    let Some(since) = since else {
        return Ok(Vec::new());
    };
    let mut members = Vec::new();
    for (key, change) in changes {
        if key.0 != TimelineEventType::RoomMember {
            continue;
        }
        let (Some(end), Ok(user_id)) = (&change.end, UserId::parse(&key.1)) else {
            continue;
        };
        let after = membership_of(end).unwrap_or(MembershipState::Leave);
        let was_joined = match &change.had {
            Some(had) => Some(membership_of(had) == Some(MembershipState::Join)),
            // Where states have branched it is not known: rather told once too often.
            None if history.room.forked => None,
            None => was_joined_throughout(history, end, since).await?,
        };
        if was_joined != Some(after == MembershipState::Join) {
            members.push((user_id, after));
        }
    }
    Ok(members)
}

/// Whether the client knew the member as joined, in a room whose states never branched; `None` when the member was away in between: what it
/// changed meanwhile nobody here was told.
async fn was_joined_throughout(
    history: &mut History,
    end: &Arc<RoomEvent>,
    since: Sequence,
) -> Result<Option<bool>, RoomError> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    let mut was_away = false;
    let mut event = end.clone();
    while let Some(replaced) = event.replaces.filter(|replaced| *replaced > since) {
        match history.event(replaced).await? {
            Some(former) => event = former,
            None => return Ok(None),
        }
        was_away |= membership_of(&event) != Some(MembershipState::Join);
    }
    let before = history.replaced(&event).await?.and_then(|replaced| {
        serde_json::from_str::<Content>(&replaced.content)
            .ok()
            .map(|content| content.membership)
    });
    let was_joined = before == Some(MembershipState::Join);
    Ok((!(was_joined && was_away)).then_some(was_joined))
}

fn sequence_of(event: &Option<Arc<RoomEvent>>) -> Option<Sequence> {
    event.as_ref().map(|event| event.sequence)
}

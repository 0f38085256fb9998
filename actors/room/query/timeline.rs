//! Picking timeline events for a reader, and writing them out.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use playhouse_schema::{address::Sequence, models::relations::Group};
use ruma::{OwnedUserId, events::room::member::MembershipState};

use super::{
    super::{error::RoomError, event::RoomEvent},
    View,
    bundles::Bundles,
    client_form::Form,
    filter::{EventFilter, is_ignored},
    history::History,
    scroll::Scroll,
    visibility::Sight,
};

/// So many events are looked at for one page; a filter that lets little through then gives a short page.
const EXAMINED_MAX: usize = 2_000;

/// So many events does [`live_after`] give at most.
const LIVE_MAX: usize = 1_000;

/// An event that a reader gets.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The event.
    pub(super) event: Arc<RoomEvent>,
    /// The reader's membership at the event.
    pub(super) membership: MembershipState,
}

/// Some events of a timeline, in the order of the scroll.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The events.
    pub(super) shown: Vec<Shown>,
    /// The last event that was looked at, when something may lie behind it.
    pub(super) stopped_at: Option<Sequence>,
}

/// What decides whether an event is picked.
pub(super) struct Gather<'a> {
    /// What the reader may see.
    pub(super) sight: &'a mut Sight,
    /// What the reader wants.
    pub(super) filter: &'a EventFilter,
    /// Whom the reader ignores.
    pub(super) ignored: &'a [OwnedUserId],
}

impl Gather<'_> {
    /// Picks up to `limit` events. With `look_beyond`, `stopped_at` is set only when one more would have been picked, or too many had to be looked at.
    pub(super) async fn pick(
        &mut self,
        history: &mut History,
        mut scroll: Scroll,
        limit: usize,
        look_beyond: bool,
    ) -> Result<Gathered, RoomError> {
        let mut gathered = Gathered::default();
        let mut examined = 0;
        while !scroll.is_done() {
            if gathered.shown.len() >= limit && !look_beyond {
                break;
            }
            let events = scroll.next(history).await?;
            let related = self.related(history, &events).await?;
            let mut events = events.into_iter().peekable();
            while let Some(event) = events.next() {
                let sequence = event.sequence;
                examined += 1;
                let is_related = related
                    .as_ref()
                    .is_none_or(|related| related.contains(&sequence));
                if is_related && let Some(membership) = self.picks(history, &event).await? {
                    if gathered.shown.len() >= limit {
                        gathered.stopped_at = Some(sequence);
                        return Ok(gathered);
                    }
                    gathered.shown.push(Shown { event, membership });
                }
                let full = gathered.shown.len() >= limit && !look_beyond;
                if full || examined >= EXAMINED_MAX {
                    let more = events.peek().is_some() || !scroll.is_done();
                    gathered.stopped_at = more.then_some(sequence);
                    return Ok(gathered);
                }
            }
        }
        Ok(gathered)
    }

    /// Which of some events have what the filter wants to relate to them; `None` when it does not ask.
    async fn related(
        &self,
        history: &mut History,
        events: &[Arc<RoomEvent>],
    ) -> Result<Option<BTreeSet<Sequence>>, RoomError> {
        if !self.filter.asks_for_relations() {
            return Ok(None);
        }
        let kin = history.kin(events.iter()).await?;
        let ids: Vec<_> = events.iter().map(|event| &*event.pdu.event_id).collect();
        let groups = history.groups(&kin, &ids).await?;
        let fits = |group: &Group| {
            let is_ignored = self.ignored.iter().any(|user| *user == *group.sender);
            !is_ignored && self.filter.passes_relation(group)
        };
        let related = events.iter().filter(|event| {
            let groups = groups.get(event.pdu.event_id.as_str());
            groups.is_some_and(|groups| groups.iter().any(fits))
        });
        Ok(Some(related.map(|event| event.sequence).collect()))
    }

    /// Whether an event is picked, and the reader's membership at it.
    async fn picks(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
    ) -> Result<Option<MembershipState>, RoomError> {
        if is_ignored(event, self.ignored) || !self.filter.passes(event) {
            return Ok(None);
        }
        let judgement = self.sight.judge(history, event).await?;
        Ok(judgement.visible.then_some(judgement.membership))
    }
}

impl History {
    /// Writes timeline events out, with what the state events among them replaced.
    pub(super) async fn write_timeline(
        &mut self,
        form: &Form<'_>,
        shown: &[Shown],
    ) -> Result<Vec<Bytes>, RoomError> {
        self.write_with(form, shown, &Bundles::new()).await
    }

    /// As [`History::write_timeline`], each event with what is told of the events that relate to it.
    pub(super) async fn write_bundled(
        &mut self,
        form: &Form<'_>,
        sight: &mut Sight,
        shown: &[Shown],
    ) -> Result<Vec<Bytes>, RoomError> {
        let bundles = self.bundles(form, sight, shown).await?;
        self.write_with(form, shown, &bundles).await
    }

    pub(super) async fn write_with(
        &mut self,
        form: &Form<'_>,
        shown: &[Shown],
        bundles: &Bundles,
    ) -> Result<Vec<Bytes>, RoomError> {
        let replaced: Vec<_> = shown
            .iter()
            .filter(|shown| shown.event.kept_replaced().is_none())
            .filter_map(|shown| shown.event.replaces)
            .collect();
        self.load(&replaced).await?;
        let mut written = Vec::with_capacity(shown.len());
        for Shown { event, membership } in shown {
            let replaced = self.replaced(event).await?;
            let relations = bundles.get(&event.sequence).map(|bundle| &*bundle.json);
            written.push(form.bundled(event, membership, replaced.as_ref(), relations));
        }
        Ok(written)
    }
}

/// Live events after a sequence, oldest first, whoever may see them.
pub(super) async fn live_after(
    view: &View,
    sequence: Sequence,
    limit: usize,
) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
    let limit = limit.min(LIVE_MAX);
    let mut scroll = Scroll::forwards(sequence + 1, view.history.last);
    let mut live = Vec::new();
    while live.len() < limit && !scroll.is_done() {
        live.extend(scroll.next(&view.history).await?);
    }
    live.truncate(limit);
    Ok(live)
}

//! Unread counts of a room: the events that the user's push rules notify about, after the user's receipts.
//!
//! Counted lazily: news pile up (bounded) until a sync shows the room; then they are judged. What cannot be told from the news (the actor has
//! just woken, a receipt for an event that is not at hand) is read from the room again. Own events never count. An unthreaded receipt clears
//! everything up to its event, a threaded one its thread; public and private ones count alike, so the further one wins.
//!
//! Counts are exact at a bounded cost. The newest unread events are held one by one, since a receipt may fall among them; what is older is held as
//! sums, which a receipt behind them clears whole. One answer reads at most so many events of a room: of a longer backlog it tells what it has
//! counted so far, and the next answer that shows the room goes on from there. Only a receipt that falls into the sums begins the count anew.

mod calls;
pub(crate) mod notices;
pub(crate) mod related;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use playhouse_schema::address::{Position, Sequence};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, UInt, UserId,
    push::{AnyPushRuleRef, FlattenedJson, PushConditionRoomCtx, Ruleset},
};
use serde::Deserialize;

use self::{
    calls::Calls,
    related::{Kin, Related},
};
use crate::{
    room::{event::RoomEvent, message::PushFacts},
    user::{
        message::{NewsKind, ReceiptNews, RoomNews},
        news::flatten,
    },
};

/// So many unread events of a room are held one by one.
const SINGLE_MAX: usize = 1_000;

/// So many news wait to be judged; beyond it the room is read again.
const PENDING_MAX: usize = 128;

/// So many events are known by ID for receipts to come.
const KNOWN_MAX: usize = 64;

/// The unread events of a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread {
    /// `None` until read from the room.
    tally: Option<Arc<Tally>>,
    /// A tally that has not come to the end of the backlog; reading goes on from it.
    partial: Option<Arc<Tally>>,
    /// News that the tally does not contain.
    pending: VecDeque<Arc<RoomNews>>,
    /// Counts how often it was forgotten.
    epoch: u64,
}

/// Unread events as judged.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    facts: Arc<PushFacts>,
    /// The rules and ignored users by which it was judged, held so that others are never taken for them.
    judged_by: (Arc<Ruleset>, Arc<BTreeSet<OwnedUserId>>),
    /// The kinds of relations at which these rules look.
    kinds: BTreeSet<String>,
    /// The receipts under which it was read.
    marks: ReadMarks,
    /// Unread events before those in `counted`, by thread …
    older: BTreeMap<Option<OwnedEventId>, Counts>,
    /// … the last of which has this sequence.
    older_until: Sequence,
    counted: VecDeque<Counted>,
    /// Calls among the unread events that nobody took.
    calls: Calls,
    /// The newest judged events, to find those that receipts name.
    known: VecDeque<(OwnedEventId, Sequence)>,
    /// Everything up to this number among the room's records is judged.
    judged: Sequence,
}

#[derive(Clone, Debug)]
struct Counted {
    sequence: Sequence,
    thread: Option<OwnedEventId>,
    highlight: bool,
}

/// Two counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Events that notify.
    pub(crate) notifications: u64,
    /// Those of them that highlight.
    pub(crate) highlights: u64,
}

impl Counts {
    fn add(&mut self, highlight: bool) {
        self.notifications += 1;
        self.highlights += u64::from(highlight);
    }
}

/// What a room's unread counts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnreadCounts {
    /// Outside of threads.
    pub(crate) main: Counts,
    /// By thread root.
    pub(crate) threads: BTreeMap<OwnedEventId, Counts>,
}

impl UnreadCounts {
    /// Main and threads together.
    pub(crate) fn total(&self) -> Counts {
        self.threads.values().fold(self.main, |sum, thread| Counts {
            notifications: sum.notifications + thread.notifications,
            highlights: sum.highlights + thread.highlights,
        })
    }
}

/// Whose rules judge.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) user_id: OwnedUserId,
    pub(crate) rules: Arc<Ruleset>,
    pub(crate) ignored: Arc<BTreeSet<OwnedUserId>>,
}

/// Receipts as they stand when a room is read: everything up to a sequence is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadMarks {
    /// Unthreaded, or the beginning of the stay.
    pub(crate) all: Sequence,
    /// By thread ID, `main` included.
    pub(crate) threads: BTreeMap<String, Sequence>,
}

impl Unread {
    /// Takes in news.
    pub(crate) fn hear(&mut self, news: &Arc<RoomNews>) {
        if self.pending.len() >= PENDING_MAX || changes_facts(news) {
            self.forget();
        } else {
            self.pending.push_back(news.clone());
        }
    }

    /// Judges what is pending. `None` when the room must be read.
    pub(crate) fn settle(&mut self, judge: &Judge, room_id: &OwnedRoomId) -> Option<Arc<Tally>> {
        let mut tally = self.tally.take()?;
        if !tally.is_judged_by(judge) {
            // Neither rules nor ignored users are those of the count: all of it is judged anew.
            self.forget();
            self.partial = None;
            return None;
        }
        if !self.pending.is_empty() {
            let news = self.pending.iter().filter_map(|news| news.event());
            if related::question_of(judge, &tally.kinds, news).is_some() {
                // The room must be asked for what they relate to; the count goes on from here.
                self.tally = Some(tally);
                self.forget();
                return None;
            }
            let context = tally.context(judge, room_id);
            let changed = Arc::make_mut(&mut tally);
            let understood = self
                .pending
                .drain(..)
                .all(|news| changed.hear(judge, &context, &news));
            if !understood {
                self.forget();
                return None;
            }
        }
        self.tally = Some(tally.clone());
        Some(tally)
    }

    /// For recognising a reading that began before the counts were forgotten.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// From where reading may go on.
    pub(crate) fn partial(&self) -> Option<Arc<Tally>> {
        self.partial.clone()
    }

    /// Takes in a tally of everything up to a position, whose reading began in this epoch; one that is not complete whenever its reading began.
    pub(crate) fn replace(
        &mut self,
        tally: Arc<Tally>,
        (until, is_complete): (Position, bool),
        epoch: u64,
    ) {
        if !is_complete {
            let is_further =
                |known: &Arc<Tally>| known.marks != tally.marks || known.judged < tally.judged;
            if self.partial.as_ref().is_none_or(is_further) {
                self.partial = Some(tally);
            }
        } else if self.epoch == epoch && self.tally.is_none() {
            self.pending.retain(|news| news.position > until);
            self.tally = Some(tally);
            self.partial = None;
        }
    }

    /// The tally cannot go on from the news. What it has counted stays good as long as the receipts are the same.
    fn forget(&mut self) {
        self.epoch += 1;
        if let Some(tally) = self.tally.take() {
            self.partial = Some(tally);
        }
        self.pending.clear();
    }
}

/// Whether the facts that push rules go by may have changed.
fn changes_facts(news: &RoomNews) -> bool {
    match &news.kind {
        NewsKind::Event { event, .. } => event.pdu.is_state(),
        NewsKind::StateSet => true,
        NewsKind::Receipt(_) => false,
    }
}

impl Tally {
    /// Nothing is unread.
    fn new(judge: &Judge, facts: Arc<PushFacts>, marks: ReadMarks) -> Self {
        Self {
            facts,
            judged_by: (judge.rules.clone(), judge.ignored.clone()),
            kinds: related::kinds(&judge.rules),
            marks,
            older: BTreeMap::new(),
            older_until: 0,
            counted: VecDeque::new(),
            calls: Calls::default(),
            known: VecDeque::new(),
            judged: 0,
        }
    }

    /// A tally to be read: of the events after the read marks, or going on where an earlier one under the same marks and rules has stopped.
    pub(crate) fn begin(
        judge: &Judge,
        facts: Arc<PushFacts>,
        marks: ReadMarks,
        partial: Option<&Arc<Tally>>,
    ) -> Self {
        let goes_on = |partial: &&Arc<Tally>| partial.marks == marks && partial.is_judged_by(judge);
        match partial.filter(goes_on) {
            Some(partial) => Self {
                facts,
                ..Self::clone(partial)
            },
            None => Self::new(judge, facts, marks),
        }
    }

    /// Whether these rules and ignored users are the ones by which it was judged.
    fn is_judged_by(&self, judge: &Judge) -> bool {
        Arc::ptr_eq(&self.judged_by.0, &judge.rules)
            && Arc::ptr_eq(&self.judged_by.1, &judge.ignored)
    }

    /// The events after this one are to be read.
    pub(crate) fn read_until(&self) -> Sequence {
        self.judged.max(self.marks.all)
    }

    /// Reads the next live events, oldest first, with the answer to [`related::question`].
    pub(crate) fn read(
        &mut self,
        judge: &Judge,
        room_id: &OwnedRoomId,
        events: &[Arc<RoomEvent>],
        related: &Related,
    ) {
        let context = self.context(judge, room_id);
        for event in events {
            let thread = thread_of(event);
            let name = thread.as_ref().map_or("main", |root| root.as_str());
            let read = self.marks.threads.get(name).copied().unwrap_or(0);
            if event.sequence > self.marks.all.max(read) {
                self.judge(judge, &context, (event, None, related));
            } else {
                self.note(event);
            }
        }
    }

    /// How much is unread.
    pub(crate) fn counts(&self) -> UnreadCounts {
        let mut counts = UnreadCounts::default();
        for (thread, sum) in &self.older {
            match thread {
                None => counts.main = *sum,
                Some(root) => {
                    counts.threads.insert(root.clone(), *sum);
                }
            }
        }
        for counted in &self.counted {
            match &counted.thread {
                None => counts.main.add(counted.highlight),
                Some(root) => counts
                    .threads
                    .entry(root.clone())
                    .or_default()
                    .add(counted.highlight),
            }
        }
        counts
    }

    fn context(&self, judge: &Judge, room_id: &OwnedRoomId) -> PushConditionRoomCtx {
        push_context(judge, &self.facts, room_id)
    }

    /// Takes in news; `false` when they cannot be understood without the room.
    fn hear(&mut self, judge: &Judge, context: &PushConditionRoomCtx, news: &RoomNews) -> bool {
        match &news.kind {
            NewsKind::Event { event, .. } => {
                if event.sequence > self.judged {
                    // News that relate to what a rule looks at are not judged here.
                    self.judge(judge, context, (event, news.flat(), &Related::default()));
                }
                true
            }
            NewsKind::Receipt(receipt) if receipt.user_id == judge.user_id => self.clear(receipt),
            NewsKind::Receipt(_) => true,
            NewsKind::StateSet => false,
        }
    }

    fn note(&mut self, event: &RoomEvent) {
        self.judged = event.sequence;
        self.known
            .push_back((event.pdu.event_id.clone(), event.sequence));
        if self.known.len() > KNOWN_MAX {
            self.known.pop_front();
        }
    }

    fn judge(
        &mut self,
        judge: &Judge,
        context: &PushConditionRoomCtx,
        (event, flat, related): (&RoomEvent, Option<&FlattenedJson>, &Related),
    ) {
        self.note(event);
        let sender: &UserId = &event.pdu.sender;
        if sender == judge.user_id {
            self.calls.take(event);
            return;
        }
        if judge.ignored.contains(sender) {
            return;
        }
        let kin = related.of(event);
        let verdict = match flat {
            Some(flat) => verdict(&judge.rules, (flat, &kin), context),
            None => verdict(&judge.rules, (&flatten(event), &kin), context),
        };
        if let Some(highlight) = verdict {
            self.calls.note(event);
            self.counted.push_back(Counted {
                sequence: event.sequence,
                thread: thread_of(event),
                highlight,
            });
            if self.counted.len() > SINGLE_MAX {
                self.sum_up();
            }
        }
    }

    /// Adds the oldest single event to the sums.
    fn sum_up(&mut self) {
        let Some(oldest) = self.counted.pop_front() else {
            return;
        };
        self.older_until = oldest.sequence;
        self.older
            .entry(oldest.thread)
            .or_default()
            .add(oldest.highlight);
    }

    fn clear(&mut self, receipt: &ReceiptNews) -> bool {
        let found = self
            .known
            .iter()
            .find(|(event_id, _)| *event_id == receipt.event_id);
        // Of the sums it is not known what remains after the receipt.
        let Some((_, until)) = found.filter(|(_, until)| *until >= self.older_until) else {
            return false;
        };
        let until = *until;
        let concerns = |thread: Option<&OwnedEventId>| match receipt.thread_id.as_deref() {
            None => true,
            Some("main") => thread.is_none(),
            Some(root) => thread.is_some_and(|thread| thread.as_str() == root),
        };
        let mark = match &receipt.thread_id {
            None => &mut self.marks.all,
            Some(thread) => self.marks.threads.entry(thread.clone()).or_default(),
        };
        *mark = until.max(*mark);
        if concerns(None) {
            self.calls.read(until);
        }
        self.older.retain(|thread, _| !concerns(thread.as_ref()));
        self.counted
            .retain(|counted| !concerns(counted.thread.as_ref()) || counted.sequence > until);
        true
    }
}

/// Whether an event notifies, and then whether it highlights.
fn verdict(
    rules: &Ruleset,
    event: (&FlattenedJson, &[Kin<'_>]),
    context: &PushConditionRoomCtx,
) -> Option<bool> {
    let rule = matching(rules, event, context)?;
    rule.triggers_notification()
        .then(|| rule.triggers_highlight())
}

/// The first rule that fits.
fn matching<'a>(
    rules: &'a Ruleset,
    event: (&FlattenedJson, &[Kin<'_>]),
    context: &PushConditionRoomCtx,
) -> Option<AnyPushRuleRef<'a>> {
    rules
        .iter()
        .find(|rule| related::applies(*rule, event, context))
}

/// A room as push rules know it.
fn push_context(judge: &Judge, facts: &PushFacts, room_id: &OwnedRoomId) -> PushConditionRoomCtx {
    let name = facts.displayname.clone();
    let context = PushConditionRoomCtx::new(
        room_id.clone(),
        UInt::new_saturating(facts.joined_count),
        judge.user_id.clone(),
        name.unwrap_or_else(|| judge.user_id.localpart().to_owned()),
    );
    match &facts.power_levels {
        Some(levels) => context.with_power_levels(levels.clone()),
        None => context,
    }
}

#[derive(Deserialize)]
struct Relation {
    #[serde(rename = "m.relates_to")]
    relates_to: Option<RelatesTo>,
}

#[derive(Deserialize)]
struct RelatesTo {
    rel_type: Option<String>,
    event_id: Option<OwnedEventId>,
}

/// The thread that an event belongs to.
fn thread_of(event: &RoomEvent) -> Option<OwnedEventId> {
    if event.pdu.is_state() || !event.pdu.content_json().contains("m.thread") {
        return None;
    }
    let relation = event.pdu.content_as::<Relation>()?.relates_to?;
    relation
        .event_id
        .filter(|_| relation.rel_type.as_deref() == Some("m.thread"))
}

//! The events that a user was notified about, judged as the unread counts judge them.

use std::sync::Arc;

use playhouse_schema::address::Sequence;
use ruma::{
    OwnedRoomId,
    push::{Action, FlattenedJson},
};

use super::{Judge, ReadMarks, Tally, matching, push_context, related::Related, thread_of};
use crate::{
    room::{event::RoomEvent, message::PushFacts},
    user::news::flatten,
};

/// What a room's notifications depend on.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) facts: Arc<PushFacts>,
    pub(crate) marks: ReadMarks,
}

/// How a user was notified about an event.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) actions: Vec<Action>,
    pub(crate) is_highlight: bool,
    pub(crate) is_read: bool,
}

impl Notices {
    /// How a user was notified about an event, if at all; with the answer to [`super::related::question`].
    pub(crate) fn of(&self, judge: &Judge, event: &RoomEvent, related: &Related) -> Option<Notice> {
        let flat = flatten(event);
        self.of_flat(judge, (event, &flat), related)
    }

    /// The same, for an event in the form in which push rules read it.
    pub(crate) fn of_flat(
        &self,
        judge: &Judge,
        (event, flat): (&RoomEvent, &FlattenedJson),
        related: &Related,
    ) -> Option<Notice> {
        let sender = &event.pdu.sender;
        if *sender == judge.user_id || judge.ignored.contains(sender) {
            return None;
        }
        let context = push_context(judge, &self.facts, &self.room_id);
        let kin = related.of(event);
        let rule = matching(&judge.rules, (flat, &kin), &context)?;
        rule.triggers_notification().then(|| Notice {
            actions: rule.actions().to_vec(),
            is_highlight: rule.triggers_highlight(),
            is_read: event.sequence <= self.read_until(event),
        })
    }

    /// Up to where the thread of an event was read.
    fn read_until(&self, event: &RoomEvent) -> Sequence {
        let thread = thread_of(event);
        let name = thread.as_ref().map_or("main", |root| root.as_str());
        let read = self.marks.threads.get(name).copied().unwrap_or(0);
        self.marks.all.max(read)
    }
}

impl Tally {
    /// What the notifications of the room depend on, as they were counted.
    pub(crate) fn notices(&self, room_id: &OwnedRoomId) -> Notices {
        Notices {
            room_id: room_id.clone(),
            facts: self.facts.clone(),
            marks: self.marks.clone(),
        }
    }

    /// The newest unread events that notify, as far as they are held one by one: those from a number on, oldest first, at most so many; and before them the
    /// newest that stands out, if none of them does.
    pub(crate) fn newest_unread(&self, from: Sequence, limit: usize) -> Vec<Sequence> {
        let newest = self.counted.iter().rev();
        let newest = newest.take_while(|counted| counted.sequence >= from);
        let mut stands_out = false;
        let mut found = Vec::new();
        for counted in newest {
            if found.len() >= limit && (stands_out || !counted.highlight) {
                continue;
            }
            stands_out |= counted.highlight;
            found.push(counted.sequence);
        }
        found.reverse();
        found
    }
}

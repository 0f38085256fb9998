//! A room's part made from the news at hand, without asking the room: messages and receipts, nothing else, in a room that the user was in all along.
//!
//! Exact because a joined member sees every event sent after its join, whatever the history visibility; because without state events there is
//! neither state nor summary to tell; and because without a redaction in the interval no event of it has changed since (a redaction of any of them
//! would be in the interval too). Anything else is the room's to answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::address::Sequence;
use ruma::{OwnedUserId, events::TimelineEventType};

use super::filter::SyncFilter;
use crate::{
    room::event::RoomEvent,
    user::{
        feed::unread::Judge,
        message::{NewsKind, ReceiptNews, RoomNews},
    },
};

/// What happened in a room, in full.
#[derive(Debug)]
pub(crate) struct Direct {
    /// Oldest first.
    pub(crate) events: Vec<Arc<RoomEvent>>,
    /// By event, those that the user may see; the newest of each user, kind and thread.
    pub(crate) receipts: Vec<ReceiptNews>,
    /// Just before the first of the news.
    pub(crate) before: Sequence,
}

impl Direct {
    /// `None` when the room must be asked.
    pub(crate) fn find(
        filter: &SyncFilter,
        judge: &Judge,
        news: &[Arc<RoomNews>],
        known_members: Option<&BTreeSet<OwnedUserId>>,
    ) -> Option<Self> {
        if !filter.room.timeline.is_plain() {
            return None;
        }
        let first = news.first()?;
        let mut direct = Self {
            events: Vec::new(),
            receipts: Vec::new(),
            before: first.sequence - 1,
        };
        let mut receipts = BTreeMap::new();
        let mut first_event = None;
        for news in news {
            match &news.kind {
                NewsKind::StateSet => return None,
                NewsKind::Event { event, .. } => {
                    if event.pdu.is_state()
                        || event.pdu.event_type == TimelineEventType::RoomRedaction
                    {
                        return None;
                    }
                    if !judge.ignored.contains(&event.pdu.sender) {
                        first_event.get_or_insert(news.sequence);
                        direct.events.push(event.clone());
                    }
                }
                NewsKind::Receipt(receipt) => {
                    let visible = !receipt.is_private || receipt.user_id == judge.user_id;
                    if visible && filter.room.ephemeral.wants("m.receipt", &receipt.user_id) {
                        let key = (&receipt.user_id, receipt.is_private, &receipt.thread_id);
                        receipts.insert(key, receipt);
                    }
                }
            }
        }
        if direct.events.len() > filter.room.timeline.timeline_limit() {
            return None;
        }
        if filter.is_lazy() {
            let has = |event: &Arc<RoomEvent>| {
                known_members.is_some_and(|known| known.contains(&event.pdu.sender))
            };
            if !direct.events.iter().all(has) {
                return None;
            }
        }
        direct.receipts = receipts.into_values().cloned().collect();
        direct.receipts.sort_by(|a, b| a.event_id.cmp(&b.event_id));
        if let Some(sequence) = first_event {
            direct.before = sequence - 1;
        }
        Some(direct)
    }
}

//! What the feed knows of a room for lists: asked of the room once, and kept up by the news.

use std::sync::Arc;

use ruma::events::TimelineEventType;

use crate::{
    room::{
        message::RoomGlance,
        window::{bumps, shows_in_glance},
    },
    user::message::{NewsKind, RoomNews},
};

/// What is known of a room for lists.
#[derive(Debug, Default)]
pub(crate) struct Glimpse {
    /// As the room said; `None` when it must be asked.
    known: Option<Arc<RoomGlance>>,
    /// When something was last heard of that lifts the room.
    heard_ms: u64,
    /// Counts how often what was known became void.
    epoch: u64,
}

impl Glimpse {
    /// Takes in news.
    pub(crate) fn hear(&mut self, news: &RoomNews) {
        match &news.kind {
            NewsKind::Event { event, .. } => {
                let event_type = event.pdu.event_type.to_string();
                if bumps(&event_type) {
                    let sent_ms = u64::from(event.pdu.origin_server_ts.get());
                    self.heard_ms = self.heard_ms.max(sent_ms);
                }
                let shows = event.pdu.is_state() && shows_in_glance(&event_type);
                // A redaction may take away what shows.
                if shows || event.pdu.event_type == TimelineEventType::RoomRedaction {
                    self.forget();
                }
            }
            NewsKind::StateSet => self.forget(),
            NewsKind::Receipt(_) => {}
        }
    }

    /// The user's membership is another.
    pub(crate) fn forget(&mut self) {
        self.known = None;
        self.epoch += 1;
    }

    /// What is known.
    pub(crate) fn known(&self) -> Option<&Arc<RoomGlance>> {
        self.known.as_ref()
    }

    /// Recognises an answer to a question that was asked before what it tells became void.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The room has answered a question of this epoch.
    pub(crate) fn learn(&mut self, glance: Arc<RoomGlance>, epoch: u64) {
        if epoch == self.epoch {
            self.known = Some(glance);
        }
    }

    /// When something last happened for which the room rises to the top.
    pub(crate) fn bump_ms(&self) -> u64 {
        let known_ms = self.known.as_ref().map_or(0, |known| known.bump_ms);
        known_ms.max(self.heard_ms)
    }
}

//! How long events are kept (MSC1763): what a room may say, what the operator allows, and taking out of the log what is older.

use playhouse_schema::{
    address::Sequence,
    record::{
        codec::Record as _,
        room::{EventRecord, Placement, RoomRecord},
    },
};
use ruma::{CanonicalJsonValue, canonical_json::redact_in_place, events::TimelineEventType};
use serde::Deserialize;

use super::{Room, RoomReply, canonical::Canonical, event::RoomEvent, redact::RedactionTarget};
use crate::kernel::Decision;

/// The mark of an event whose content was taken out because it had expired, in its `unsigned`.
const EXPIRED: &str = "org.matrix.msc1763.expired";

/// Whether the content of an event was taken out because it had expired.
pub(crate) fn is_emptied(event: &RoomEvent) -> bool {
    // Of nearly all events the content tells that it was not.
    let may_be = event.pdu.content_json().len() <= EMPTY_BYTES
        || event.pdu.event_type == TimelineEventType::RoomRedaction;
    may_be && !event.pdu.is_state() && has_mark(event)
}

/// `{}`: nothing is left of the content of what is no state, but for redactions.
const EMPTY_BYTES: usize = 2;

fn has_mark(event: &RoomEvent) -> bool {
    #[derive(Deserialize)]
    struct Outer {
        unsigned: Option<Unsigned>,
    }
    #[derive(Deserialize)]
    struct Unsigned {
        #[serde(rename = "org.matrix.msc1763.expired")]
        expired: Option<bool>,
    }
    let outer = serde_json::from_slice::<Outer>(event.pdu.json()).ok();
    let unsigned = outer.and_then(|outer| outer.unsigned);
    unsigned.and_then(|unsigned| unsigned.expired) == Some(true)
}

/// What the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Events are kept for ever unless this is on.
    pub enabled: bool,
    /// For rooms that say nothing, milliseconds; `None` keeps their events for ever.
    pub default_ms: Option<u64>,
    /// No room can have its events go earlier than this.
    pub min_ms: Option<u64>,
    /// No room can have its events stay longer than this.
    pub max_ms: Option<u64>,
    /// How often expired events are looked for.
    pub sweep_every_ms: u64,
}

impl RetentionSettings {
    /// Whether events of rooms that say nothing expire.
    pub fn concerns_all(&self) -> bool {
        self.default_ms.is_some() || self.max_ms.is_some()
    }

    /// How long events are kept in a room that says this.
    pub fn lifetime_ms(&self, said_ms: Option<u64>) -> Option<u64> {
        if !self.enabled {
            return None;
        }
        let mut lifetime_ms = said_ms.or(self.default_ms);
        if let Some(max_ms) = self.max_ms {
            lifetime_ms = Some(lifetime_ms.map_or(max_ms, |wanted| wanted.min(max_ms)));
        }
        lifetime_ms.map(|wanted| wanted.max(self.min_ms.unwrap_or(0)))
    }

    /// Events of a room sent before this time have expired; 0 when none does.
    pub(crate) fn expired_before_ms(&self, room: &Room, now_ms: u64) -> u64 {
        if !self.enabled {
            return 0;
        }
        let lifetime_ms = self.lifetime_ms(said_ms(room));
        lifetime_ms.map_or(0, |lifetime_ms| now_ms.saturating_sub(lifetime_ms))
    }
}

/// What a room says. What makes no sense says nothing.
fn said_ms(room: &Room) -> Option<u64> {
    #[derive(Deserialize)]
    struct Content {
        min_lifetime: Option<u64>,
        max_lifetime: Option<u64>,
    }
    let key = (TimelineEventType::from("m.room.retention"), String::new());
    let content = room.current.get(&key)?.pdu.content_as::<Content>()?;
    let max_ms = content.max_lifetime?;
    (content.min_lifetime.unwrap_or(0) <= max_ms).then_some(max_ms)
}

/// The newest event of the timeline: it never expires.
pub(crate) fn newest(room: &Room) -> Option<Sequence> {
    let mut recent = room.recent.iter().rev();
    let newest = recent.find(|event| event.is_visible() && event.placement == Placement::Live);
    newest.map(|event| event.sequence)
}

/// Whether an event is of those that go: no state, and not the newest.
pub(crate) fn has_expired(event: &RoomEvent, newest: Option<Sequence>, before_ms: u64) -> bool {
    u64::from(event.pdu.origin_server_ts.0) < before_ms
        && !event.pdu.is_state()
        && newest != Some(event.sequence)
}

/// Judges [`super::RoomCommand::Expire`]: of what the caller has read in the log, that which has expired loses its content and its place in the timeline.
pub(super) fn decide(room: &Room, before_ms: u64, targets: Vec<RedactionTarget>) -> Decision<Room> {
    let newest = newest(room);
    let erasures = targets.into_iter().filter_map(|target| {
        let event = RoomEvent::from_record(target.sequence, 0, &target.record)?;
        let goes = event.placement == Placement::Live
            && !is_emptied(&event)
            && has_expired(&event, newest, before_ms);
        let emptied = goes.then(|| emptied(room, &event))??;
        Some((target.sequence, RoomRecord::Event(emptied).encode()))
    });
    let erasures = erasures.collect();
    Decision {
        erasures,
        ..Decision::unchanged(RoomReply::Done)
    }
}

/// What stays of an event whose content goes: what the graph of the room needs of it, and the mark that nobody is shown it.
pub(super) fn emptied(room: &Room, event: &RoomEvent) -> Option<EventRecord> {
    let rules = room.rules().ok()?;
    let text = std::str::from_utf8(event.pdu.json()).ok()?;
    let mut canonical = Canonical::received(text).ok()?;
    redact_in_place(&mut canonical.object, &rules.redaction, None).ok()?;
    // It stays where it is: what came after it stands upon it.
    let mark = [(EXPIRED.to_owned(), CanonicalJsonValue::Bool(true))];
    let unsigned = CanonicalJsonValue::Object(mark.into());
    canonical.object.insert("unsigned".to_owned(), unsigned);
    Some(event.to_record(canonical.to_text().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{
        message::Preset,
        testing::{self, Stage},
    };

    #[test]
    fn the_operator_has_the_last_word() {
        let settings = RetentionSettings {
            enabled: true,
            default_ms: Some(50),
            min_ms: Some(10),
            max_ms: Some(100),
            sweep_every_ms: 1,
        };
        for (said, wanted) in [(None, 50), (Some(5), 10), (Some(70), 70), (Some(500), 100)] {
            assert_eq!(settings.lifetime_ms(said), Some(wanted), "{said:?}");
        }
        let off = RetentionSettings {
            enabled: false,
            ..settings
        };
        assert_eq!(off.lifetime_ms(Some(1)), None);
        assert_eq!(RetentionSettings::default().lifetime_ms(None), None);
    }

    #[test]
    fn state_and_the_newest_event_stay() {
        let mut stage = Stage::of(ruma::RoomVersionId::V12, Preset::PublicChat);
        for body in ["old", "newer", "newest"] {
            stage
                .send(testing::message("alice", body))
                .expect("it is sent");
        }
        let events = stage.events();
        let targets = || -> Vec<_> {
            let of = |event: &std::sync::Arc<RoomEvent>| RedactionTarget {
                sequence: event.sequence,
                record: event.to_record(event.pdu.json().to_vec()),
            };
            events.iter().map(of).collect()
        };
        let kept = decide(&stage.room, 0, targets());
        assert!(kept.erasures.is_empty());
        let gone = decide(&stage.room, u64::MAX, targets());
        assert_eq!(gone.erasures.len(), 2);
        for (_, payload) in &gone.erasures {
            let text = String::from_utf8_lossy(payload);
            assert!(!text.contains("old") && !text.contains("newer"));
        }
    }
}

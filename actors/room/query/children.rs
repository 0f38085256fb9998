//! The rooms in a space (client-server API, "Spaces").

use std::fmt::Write as _;

use bytes::Bytes;
use ruma::{OwnedRoomId, events::TimelineEventType};
use serde::Deserialize;

use super::{
    super::{event::RoomEvent, message::SpaceChild, state::Room},
    access::room_type,
    client_form,
};

/// So many rooms of a space are told.
const CHILDREN_MAX: usize = 1_000;

/// An order has at most so many characters.
const ORDER_CHARS_MAX: usize = 50;

#[derive(Deserialize)]
struct Content {
    via: Vec<serde_json::Value>,
    #[serde(default)]
    order: serde_json::Value,
    #[serde(default)]
    suggested: serde_json::Value,
}

/// Answers the rooms in their order; none for a room that is no space.
pub(super) fn children(room: &Room, suggested_only: bool) -> Vec<SpaceChild> {
    if room_type(room).as_deref() != Some("m.space") {
        return Vec::new();
    }
    let mut children: Vec<_> = room
        .current
        .range((TimelineEventType::SpaceChild, String::new())..)
        .take_while(|((event_type, _), _)| *event_type == TimelineEventType::SpaceChild)
        .filter_map(|(_, event)| child(event, suggested_only))
        .collect();
    children.sort_by(|(one, _), (other, _)| one.cmp(other));
    children.truncate(CHILDREN_MAX);
    children.into_iter().map(|(_, child)| child).collect()
}

/// What children are sorted by: those without an order come last.
type Rank = (bool, String, u64, OwnedRoomId);

fn child(event: &RoomEvent, suggested_only: bool) -> Option<(Rank, SpaceChild)> {
    let room_id = OwnedRoomId::try_from(event.pdu.state_key.as_deref()?).ok()?;
    let content: Content = event.pdu.content_as()?;
    // Without a server through which to join it, a child was taken out of the space.
    if content.via.is_empty() || (suggested_only && content.suggested.as_bool() != Some(true)) {
        return None;
    }
    let order = content.order.as_str().filter(|order| is_order(order));
    let sent_ms = u64::from(event.pdu.origin_server_ts.0);
    let rank = (
        order.is_none(),
        order.unwrap_or_default().to_owned(),
        sent_ms,
        room_id.clone(),
    );
    let event = with_time(&client_form::stripped(event), sent_ms);
    Some((rank, SpaceChild { room_id, event }))
}

fn is_order(order: &str) -> bool {
    order.len() <= ORDER_CHARS_MAX && order.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// The stripped form with `origin_server_ts`, on which the order depends.
fn with_time(stripped: &[u8], sent_ms: u64) -> Bytes {
    let text = String::from_utf8_lossy(stripped);
    let mut out = text.strip_suffix('}').unwrap_or(&text).to_owned();
    let _ = write!(out, ",\"origin_server_ts\":{sent_ms}}}");
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_short_and_printable() {
        for order in ["", "a", " ~", &"x".repeat(50)] {
            assert!(is_order(order), "{order}");
        }
        for order in ["ä", "\n", "\u{7f}", &"x".repeat(51)] {
            assert!(!is_order(order), "{order}");
        }
    }

    #[test]
    fn the_time_is_added() {
        assert_eq!(
            with_time(b"{\"a\":1}", 7),
            "{\"a\":1,\"origin_server_ts\":7}"
        );
    }
}

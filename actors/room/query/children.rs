//! The rooms in a space (client-server API, "Spaces").

use std::fmt::Write as _;

use bytes::Bytes;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, events::TimelineEventType};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    super::{event::RoomEvent, message::SpaceChild, state::Room},
    access::room_type,
    client_form,
};

/// So many rooms of a space are told.
const CHILDREN_MAX: usize = 1_000;

/// So many servers are told with a room.
const VIA_MAX: usize = 10;

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
    let sent_ms = u64::from(event.pdu.origin_server_ts.0);
    let rank = content.rank(sent_ms, &room_id);
    let child = SpaceChild {
        via: content.via(),
        event: with_time(&client_form::stripped(event), sent_ms),
        room_id,
    };
    Some((rank, child))
}

impl Content {
    fn rank(&self, sent_ms: u64, room_id: &OwnedRoomId) -> Rank {
        let order = self.order.as_str().filter(|order| is_order(order));
        let text = order.unwrap_or_default().to_owned();
        (order.is_none(), text, sent_ms, room_id.clone())
    }

    fn via(&self) -> Vec<OwnedServerName> {
        let names = self.via.iter().filter_map(|name| name.as_str());
        let servers = names.filter_map(|name| OwnedServerName::try_from(name).ok());
        servers.take(VIA_MAX).collect()
    }
}

/// A stripped `m.space.child` event as another server tells it.
#[derive(Deserialize, Serialize)]
struct Stripped<'a> {
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    state_key: OwnedRoomId,
    sender: OwnedUserId,
    #[serde(borrow)]
    content: &'a RawValue,
    origin_server_ts: u64,
}

/// The rooms of a space of which another server tells these events, in their order; what is no such event is left out.
pub(crate) fn children_elsewhere(events: &[Box<RawValue>]) -> Vec<SpaceChild> {
    let events = events.iter().take(CHILDREN_MAX);
    let mut children: Vec<_> = events.filter_map(|event| child_elsewhere(event)).collect();
    children.sort_by(|(one, _), (other, _)| one.cmp(other));
    children.into_iter().map(|(_, child)| child).collect()
}

fn child_elsewhere(event: &RawValue) -> Option<(Rank, SpaceChild)> {
    let stripped: Stripped<'_> = serde_json::from_str(event.get()).ok()?;
    let content: Content = serde_json::from_str(stripped.content.get()).ok()?;
    if stripped.event_type != TimelineEventType::SpaceChild || content.via.is_empty() {
        return None;
    }
    let child = SpaceChild {
        via: content.via(),
        event: serde_json::to_vec(&stripped).ok()?.into(),
        room_id: stripped.state_key.clone(),
    };
    Some((
        content.rank(stripped.origin_server_ts, &stripped.state_key),
        child,
    ))
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
    fn what_another_server_tells_is_sorted_and_checked() {
        let event = |room_id: &str, content: serde_json::Value| {
            let event = serde_json::json!({
                "type": "m.space.child", "state_key": room_id, "sender": "@a:far.example",
                "content": content, "origin_server_ts": 5, "unsigned": {"x": 1},
            });
            serde_json::value::to_raw_value(&event).unwrap()
        };
        let via = serde_json::json!({"via": ["far.example", 7, "not a name"]});
        let first = serde_json::json!({"via": ["far.example"], "order": "a"});
        let told = [
            event("!b:far.example", via.clone()),
            event("!a:far.example", via.clone()),
            event("!c:far.example", first),
            event("no room", via),
            event("!d:far.example", serde_json::json!({"via": []})),
            serde_json::value::to_raw_value(&serde_json::json!(7)).unwrap(),
        ];
        let children = children_elsewhere(&told);
        let rooms: Vec<_> = children
            .iter()
            .map(|child| child.room_id.as_str())
            .collect();
        assert_eq!(
            rooms,
            ["!c:far.example", "!a:far.example", "!b:far.example"]
        );
        assert_eq!(children[1].via, ["far.example"]);
        assert!(!String::from_utf8_lossy(&children[1].event).contains("unsigned"));
    }

    #[test]
    fn the_time_is_added() {
        assert_eq!(
            with_time(b"{\"a\":1}", 7),
            "{\"a\":1,\"origin_server_ts\":7}"
        );
    }
}

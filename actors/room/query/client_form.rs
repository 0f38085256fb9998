//! Events as one reader sees them: the shared head of an event with what differs from reader to reader appended. Contents are copied, never parsed.

use std::fmt::Write as _;

use bytes::Bytes;
use ruma::{RoomId, events::room::member::MembershipState};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::{Replaced, RoomEvent, push_json_string},
        message::{EventFormat, Reader},
    },
    history::History,
};

/// What differs between two readers of the same event.
pub(super) struct Form<'a> {
    /// The time of the answer.
    pub(super) now_ms: u64,
    /// The room, where the answer does not say it elsewhere.
    pub(super) room_id: Option<&'a RoomId>,
    /// Who reads.
    pub(super) reader: Option<&'a Reader>,
    /// The form that is wanted.
    pub(super) format: EventFormat,
}

impl Form<'_> {
    /// An event in a list of state: without what would have to be looked up.
    pub(super) fn state(&self, event: &RoomEvent) -> Bytes {
        self.write(event, None, (None, None))
    }

    /// An event in a timeline.
    pub(super) fn timeline(
        &self,
        event: &RoomEvent,
        membership: &MembershipState,
        replaced: Option<&Replaced>,
    ) -> Bytes {
        self.write(event, Some(membership), (replaced, None))
    }

    /// As [`Form::timeline`], with what is told of the events that relate to it: `m.relations` as JSON text.
    pub(super) fn bundled(
        &self,
        event: &RoomEvent,
        membership: &MembershipState,
        replaced: Option<&Replaced>,
        relations: Option<&str>,
    ) -> Bytes {
        self.write(event, Some(membership), (replaced, relations))
    }

    fn write(
        &self,
        event: &RoomEvent,
        membership: Option<&MembershipState>,
        (replaced, relations): (Option<&Replaced>, Option<&str>),
    ) -> Bytes {
        if self.format == EventFormat::Federation {
            return federation_form(event);
        }
        let parts = event.client_parts();
        let head = &*parts.head;
        let because = parts.redacted_because.as_deref();
        let extra = replaced.map_or(0, |replaced| replaced.content.len() + 128)
            + because.map_or(0, |because| because.len())
            + relations.map_or(0, str::len);
        let mut out = String::with_capacity(head.len() + 192 + extra);
        out.push_str(head);
        if let Some(room_id) = self.room_id {
            out.push_str(",\"room_id\":");
            push_json_string(&mut out, room_id.as_str());
        }
        let age = self.now_ms.saturating_sub(parts.origin_server_ts_ms);
        let _ = write!(out, ",\"unsigned\":{{\"age\":{age}");
        if let Some(membership) = membership {
            out.push_str(",\"membership\":");
            push_json_string(&mut out, membership.as_str());
        }
        if let Some(relations) = relations {
            out.push_str(",\"m.relations\":");
            out.push_str(relations);
        }
        if !parts.is_plain
            && let Some(ttl_ms) = event.sticky_ttl_ms(self.now_ms)
        {
            let _ = write!(out, ",\"msc4354_sticky_duration_ttl_ms\":{ttl_ms}");
        }
        if let Some(replaced) = replaced {
            out.push_str(",\"prev_content\":");
            out.push_str(&replaced.content);
        }
        if let Some(because) = because {
            out.push_str(",\"redacted_because\":");
            out.push_str(because);
        }
        if let Some(replaced) = replaced {
            out.push_str(",\"replaces_state\":");
            push_json_string(&mut out, replaced.event_id.as_str());
        }
        if !parts.is_plain
            && let Some(transaction_id) = self.transaction_id(event)
        {
            out.push_str(",\"transaction_id\":");
            push_json_string(&mut out, transaction_id);
        }
        out.push_str("}}");
        Bytes::from(out)
    }

    /// The transaction ID, for the device that sent the event.
    fn transaction_id<'e>(&self, event: &'e RoomEvent) -> Option<&'e str> {
        let transaction = event.transaction.as_ref()?;
        let reader = self.reader?;
        let own = transaction.user_id == reader.user_id.as_str()
            && transaction.device_id == reader.device_id.as_deref().unwrap_or_default();
        // The stored name begins with the endpoint's.
        own.then(|| {
            transaction
                .transaction_id
                .split_once('/')
                .map_or(transaction.transaction_id.as_str(), |(_, id)| id)
        })
    }
}

/// An event as a joined member sees it in `/sync`, for who has it at hand without asking the room. Not for state events, which tell what they replaced.
pub(crate) fn as_member(
    event: &RoomEvent,
    reader: &Reader,
    format: EventFormat,
    now_ms: u64,
) -> Bytes {
    let form = Form {
        now_ms,
        room_id: None,
        reader: Some(reader),
        format,
    };
    form.timeline(event, &MembershipState::Join, None)
}

/// The bytes of the PDU, and in them the event ID where they do not have it.
pub(crate) fn federation_form(event: &RoomEvent) -> Bytes {
    #[derive(Deserialize)]
    struct Named {
        event_id: Option<serde::de::IgnoredAny>,
    }
    let json = event.pdu.json();
    let named = serde_json::from_slice::<Named>(json).is_ok_and(|named| named.event_id.is_some());
    let members = std::str::from_utf8(json).map(|text| text.trim_end().strip_suffix('}'));
    match members {
        Ok(Some(members)) if !named => {
            let mut out = String::with_capacity(json.len() + 64);
            out.push_str(members);
            out.push_str(",\"event_id\":");
            push_json_string(&mut out, event.pdu.event_id.as_str());
            out.push('}');
            Bytes::from(out)
        }
        _ => json.clone(),
    }
}

/// The stripped form: content, sender, state key and type.
pub(in crate::room) fn stripped(event: &RoomEvent) -> Bytes {
    let content = event.pdu.content_json();
    let mut out = String::with_capacity(content.len() + 192);
    out.push_str("{\"content\":");
    out.push_str(content);
    out.push_str(",\"sender\":");
    push_json_string(&mut out, event.pdu.sender.as_str());
    out.push_str(",\"state_key\":");
    push_json_string(&mut out, event.pdu.state_key.as_deref().unwrap_or_default());
    out.push_str(",\"type\":");
    push_json_string(&mut out, &event.pdu.event_type.to_string());
    out.push('}');
    Bytes::from(out)
}

impl History {
    /// What a state event replaced, for `prev_content`. Read once for an event of the window, then kept with it.
    pub(super) async fn replaced(
        &mut self,
        event: &RoomEvent,
    ) -> Result<Option<Replaced>, RoomError> {
        let Some(sequence) = event.replaces else {
            return Ok(None);
        };
        if self.held(sequence).is_none()
            && let Some(kept) = self.kept_replaced(event)
        {
            return Ok(Some(kept.clone()));
        }
        let Some(former) = self.event(sequence).await? else {
            return Ok(None);
        };
        let replaced = Replaced {
            event_id: former.pdu.event_id.clone(),
            content: former.pdu.content_json().into(),
        };
        event.keep_replaced(&replaced);
        Ok(Some(replaced))
    }

    /// What is kept with an event of the window, unless the replaced event was redacted since: every redaction after a window event is in the window.
    fn kept_replaced<'e>(&self, event: &'e RoomEvent) -> Option<&'e Replaced> {
        let kept = event.kept_replaced()?;
        self.in_window(event.sequence)?;
        let recent = &self.room.recent;
        let after = recent.partition_point(|later| later.sequence <= event.sequence);
        let redacted = recent
            .range(after..)
            .any(|later| later.pdu.redacts.as_ref() == Some(&kept.event_id));
        (!redacted).then_some(kept)
    }
}

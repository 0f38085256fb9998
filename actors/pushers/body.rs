//! What a push gateway is sent (push gateway API, `POST /_matrix/push/v1/notify`).

use bytes::Bytes;
use ruma::{UserId, events::TimelineEventType, push::Action};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::plan::{Gateway, Target};
use crate::room::{event::RoomEvent, message::PushNames};

/// Counts of what the user has not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Badge {
    /// Rooms or messages, and invites. Told even when it is zero, whatever the specification says: gateways take a count that is missing for one that did not
    /// change, and devices would go on showing the last one.
    pub(super) unread: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) missed_calls: u64,
}

/// What of an event goes out.
pub(super) struct Told<'a> {
    pub(super) user_id: &'a UserId,
    pub(super) event: &'a RoomEvent,
    pub(super) room_id: &'a str,
    pub(super) actions: &'a [Action],
    /// What the room and the sender are called; not wanted where only the event's ID is told.
    pub(super) names: Option<&'a PushNames>,
    /// What the event says is told.
    pub(super) content: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    notification: Notification<'a>,
}

#[derive(Default, Serialize)]
struct Notification<'a> {
    /// As old gateways know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_alias: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_is_target: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prio: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Badge>,
    devices: [Device<'a>; 1],
}

#[derive(Default, Serialize)]
struct Device<'a> {
    app_id: &'a str,
    pushkey: &'a str,
    pushkey_ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tweaks: Map<String, Value>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A push of an event.
pub(super) fn of_event(target: &Target, gateway: &Gateway, told: &Told<'_>, badge: Badge) -> Bytes {
    let pdu = &told.event.pdu;
    let tweaks = tweaks(told.actions);
    let mut notification = Notification {
        event_id: Some(pdu.event_id.as_str()),
        room_id: Some(told.room_id),
        prio: Some(priority(told.event, &tweaks)),
        counts: (!gateway.without_counts).then_some(badge),
        ..Notification::default()
    };
    let mut device = device(target, gateway);
    if !gateway.event_id_only {
        device.tweaks = tweaks;
        notification.id = notification.event_id;
        notification.event_type = Some(pdu.event_type.to_string());
        notification.sender = Some(pdu.sender.as_str());
        if let Some(names) = told.names {
            let sender = names.members.get(&pdu.sender);
            notification.sender_display_name = sender.map(String::as_str);
            notification.room_name = room_name(names);
            notification.room_alias = names.room_alias.as_deref();
        }
        if pdu.event_type == TimelineEventType::RoomMember
            && let Some(state_key) = pdu.state_key.as_deref()
        {
            let content: Option<Map<String, Value>> = pdu.content_as();
            notification.membership = content.and_then(|mut it| it.remove("membership"));
            notification.user_is_target = Some(state_key == told.user_id.as_str());
        }
        if told.content {
            notification.content = pdu.content_as();
        }
    }
    notification.devices = [device];
    written(notification)
}

/// A push that only says how much is unread.
pub(super) fn of_counts(target: &Target, gateway: &Gateway, badge: Badge) -> Bytes {
    written(Notification {
        counts: Some(badge),
        devices: [device(target, gateway)],
        ..Notification::default()
    })
}

fn written(notification: Notification<'_>) -> Bytes {
    let body = serde_json::to_vec(&Body { notification });
    body.unwrap_or_else(|error| {
        tracing::error!(%error, "a push cannot be written");
        Vec::new()
    })
    .into()
}

fn device<'a>(target: &'a Target, gateway: &'a Gateway) -> Device<'a> {
    Device {
        app_id: &target.app_id,
        pushkey: &target.pushkey,
        pushkey_ts: target.pushkey_ts,
        data: Some(&gateway.data),
        tweaks: Map::new(),
    }
}

/// What a device shows as the room: its name or alias, or who is in it. Of two people only the other one is there, and that is the sender.
fn room_name(names: &PushNames) -> Option<String> {
    let named = names.room_name.as_ref().or(names.room_alias.as_ref());
    if let Some(name) = named {
        return Some(name.clone());
    }
    match names.others.as_slice() {
        [] | [_] => None,
        [one, other] => Some(format!("{one} and {other}")),
        [one, rest @ ..] => Some(format!("{one} and {} others", rest.len())),
    }
}

/// Whether an event is pushed with high priority.
pub(super) fn is_high(event: &RoomEvent, actions: &[Action]) -> bool {
    priority(event, &tweaks(actions)) == "high"
}

/// High for what makes a sound or stands out, and for what may do either once it is decrypted.
fn priority(event: &RoomEvent, tweaks: &Map<String, Value>) -> &'static str {
    let stands_out = tweaks.get("highlight") == Some(&Value::Bool(true));
    let is_encrypted = event.pdu.event_type == TimelineEventType::RoomEncrypted;
    if stands_out || is_encrypted || tweaks.contains_key("sound") {
        "high"
    } else {
        "low"
    }
}

fn tweaks(actions: &[Action]) -> Map<String, Value> {
    let tweaks = actions.iter().filter_map(|action| match action {
        Action::SetTweak(tweak) => Some(tweak),
        _ => None,
    });
    tweaks
        .map(|tweak| {
            let value = tweak.value();
            let value = value.and_then(|value| serde_json::from_str(value.get()).ok());
            (
                tweak.set_tweak().to_owned(),
                value.unwrap_or(Value::Bool(true)),
            )
        })
        .collect()
}

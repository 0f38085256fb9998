//! What an iPhone gets. The keys are those that apps made for Sygnal know.

use playhouse_actors::env::JsonObject;
use serde_json::{Value, json};

use super::super::{
    answer::{Delivery, shortened},
    notification::Notice,
};

/// A name, or the text of a message, has at most so many bytes.
const FIELD_BYTES_MAX: usize = 1_024;

/// How the app wants its payloads.
pub(super) struct Style {
    pub(super) badge_counts: bool,
    pub(super) mutable_content: bool,
    pub(super) bytes_max: usize,
}

/// What a payload comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Payload {
    /// This.
    Whole(JsonObject),
    /// There is nothing to show.
    Nothing,
    /// The client wants every payload to begin with something that is no object.
    Malformed,
    /// It does not fit, however much is cut off.
    TooLarge,
}

/// The payload of a notification.
pub(super) fn payload(delivery: &Delivery<'_>, style: &Style) -> Payload {
    let Some(begun) = delivery.default_payload() else {
        return Payload::Malformed;
    };
    let notice = &delivery.notice;
    let made = match (&notice.event_id, &notice.event_type) {
        (Some(_), None) => Some(of_ids(notice, begun, style)),
        _ => of_event(notice, begun, style),
    };
    let Some(mut made) = made else {
        return Payload::Nothing;
    };
    if style.mutable_content && notice.event_id.is_some() {
        aps(&mut made).insert("mutable-content".to_owned(), json!(1));
    }
    match fitted(made, style.bytes_max) {
        Some(payload) => Payload::Whole(payload),
        None => Payload::TooLarge,
    }
}

fn of_ids(notice: &Notice, mut payload: JsonObject, style: &Style) -> JsonObject {
    let ids = [("room_id", &notice.room_id), ("event_id", &notice.event_id)];
    for (key, id) in ids {
        if let Some(id) = id {
            payload.insert(key.to_owned(), json!(id));
        }
    }
    if style.badge_counts {
        let counts = [
            ("unread_count", notice.unread()),
            ("missed_calls", notice.missed_calls()),
        ];
        for (key, count) in counts {
            if let Some(count) = count {
                payload.insert(key.to_owned(), json!(count));
            }
        }
    }
    payload
}

/// `None` when there is nothing to show.
fn of_event(notice: &Notice, begun: JsonObject, style: &Style) -> Option<JsonObject> {
    let alert = alert(notice);
    let counts = [notice.unread(), notice.missed_calls()];
    let counts: Vec<i64> = counts.into_iter().flatten().collect();
    // Homeservers leave out counts of zero: where there is nothing else, nothing is unread.
    let are_told = !counts.is_empty() || (notice.event_id.is_none() && notice.counts.is_some());
    let badge = (style.badge_counts && are_told).then(|| {
        counts
            .iter()
            .fold(0, |sum: i64, count| sum.saturating_add(*count))
    });
    if alert.is_none() && badge.is_none() {
        return None;
    }
    // Counts alone must not look like a message.
    let mut payload = match notice.event_type {
        Some(_) => begun,
        None => JsonObject::new(),
    };
    let aps = aps(&mut payload);
    if let Some((key, arguments)) = &alert {
        if !aps.get("alert").is_some_and(Value::is_object) {
            aps.insert("alert".to_owned(), json!({}));
        }
        let told = aps.get_mut("alert").and_then(Value::as_object_mut);
        if let Some(told) = told {
            told.insert("loc-key".to_owned(), json!(key));
            told.insert("loc-args".to_owned(), json!(arguments));
        }
    }
    if let Some(badge) = badge {
        aps.insert("badge".to_owned(), json!(badge));
    }
    if alert.is_some() {
        let ids = [("room_id", &notice.room_id), ("event_id", &notice.event_id)];
        for (key, id) in ids {
            if let Some(id) = id {
                payload.insert(key.to_owned(), json!(id));
            }
        }
    }
    Some(payload)
}

/// The part that Apple reads. A client's default may have put something else there.
fn aps(payload: &mut JsonObject) -> &mut JsonObject {
    let place = payload.entry("aps").or_insert_with(|| json!({}));
    if !place.is_object() {
        *place = json!({});
    }
    place
        .as_object_mut()
        .expect("it was made an object just now")
}

type Alert = (&'static str, Vec<String>);

/// The key of a text that the app has in the user's language, and what is put into it.
fn alert(notice: &Notice) -> Option<Alert> {
    let from = notice
        .sender_display_name
        .as_deref()
        .or(notice.sender.as_deref());
    let from = short(from.filter(|from| !from.is_empty()).unwrap_or(" "));
    match notice.event_type.as_deref()? {
        "m.room.message" | "m.room.encrypted" => Some(of_message(notice, from)),
        "m.call.invite" => {
            let offer = notice
                .content
                .as_ref()
                .and_then(|content| content.get("offer"));
            let sdp = offer.and_then(|offer| offer.get("sdp"));
            let is_video = sdp
                .and_then(Value::as_str)
                .is_some_and(|sdp| sdp.contains("m=video"));
            let key = match is_video {
                true => "VIDEO_CALL_FROM_USER",
                false => "VOICE_CALL_FROM_USER",
            };
            Some((key, vec![from]))
        }
        "m.room.member" => {
            let is_invite = notice.membership.as_deref() == Some("invite");
            if !is_invite || notice.user_is_target != Some(true) {
                return None;
            }
            match room(notice) {
                Some(room) => Some(("USER_INVITE_TO_NAMED_ROOM", vec![from, room])),
                None => Some(("USER_INVITE_TO_CHAT", vec![from])),
            }
        }
        // It was important enough to come here.
        _ => Some(("MSG_FROM_USER", vec![from])),
    }
}

fn of_message(notice: &Notice, from: String) -> Alert {
    let msgtype = notice.text("msgtype");
    let body = msgtype.and_then(|_| notice.text("body"));
    // An image needs no words.
    let body = body.filter(|body| !body.is_empty() || msgtype == Some("m.image"));
    let body = body.map(short);
    match (msgtype, body, room(notice)) {
        (Some("m.image"), Some(body), Some(room)) => {
            ("IMAGE_FROM_USER_IN_ROOM", vec![from, body, room])
        }
        (Some("m.image"), Some(body), None) => ("IMAGE_FROM_USER", vec![from, body]),
        (Some("m.emote"), Some(body), Some(room)) => {
            ("ACTION_FROM_USER_IN_ROOM", vec![room, from, body])
        }
        (Some("m.emote"), Some(body), None) => ("ACTION_FROM_USER", vec![from, body]),
        (_, Some(body), Some(room)) => {
            ("MSG_FROM_USER_IN_ROOM_WITH_CONTENT", vec![from, room, body])
        }
        (_, Some(body), None) => ("MSG_FROM_USER_WITH_CONTENT", vec![from, body]),
        (_, None, Some(room)) => ("MSG_FROM_USER_IN_ROOM", vec![from, room]),
        (_, None, None) => ("MSG_FROM_USER", vec![from]),
    }
}

fn room(notice: &Notice) -> Option<String> {
    let name = notice.room_name.as_deref().filter(|name| !name.is_empty());
    name.or(notice.room_alias.as_deref()).map(short)
}

fn short(text: &str) -> String {
    shortened(text, FIELD_BYTES_MAX).to_owned()
}

/// Cuts the longest texts until all of it fits.
fn fitted(payload: JsonObject, bytes_max: usize) -> Option<JsonObject> {
    let fits = |payload: &JsonObject| {
        serde_json::to_vec(payload).is_ok_and(|bytes| bytes.len() <= bytes_max)
    };
    if fits(&payload) {
        return Some(payload);
    }
    let (mut least, mut too_much) = (0, bytes_max);
    let mut best = None;
    // The most bytes a text may have.
    while least < too_much {
        let middle = (least + too_much) / 2;
        let cut = cut(payload.clone(), middle);
        if fits(&cut) {
            best = Some(cut);
            least = middle + 1;
        } else {
            too_much = middle;
        }
    }
    best
}

fn cut(mut payload: JsonObject, bytes_max: usize) -> JsonObject {
    let alert = payload.get_mut("aps").and_then(|aps| aps.get_mut("alert"));
    match alert {
        Some(Value::String(text)) => cut_text(text, bytes_max),
        Some(Value::Object(alert)) => {
            if let Some(Value::String(body)) = alert.get_mut("body") {
                cut_text(body, bytes_max);
            }
            let arguments = alert.get_mut("loc-args").and_then(Value::as_array_mut);
            for argument in arguments.into_iter().flatten() {
                if let Value::String(text) = argument {
                    cut_text(text, bytes_max);
                }
            }
        }
        _ => {}
    }
    payload
}

fn cut_text(text: &mut String, bytes_max: usize) {
    let end = shortened(text, bytes_max).len();
    text.truncate(end);
}

//! What an Android phone gets: data, which the app makes a notification of. The keys are those that apps made for Sygnal know.

use playhouse_actors::env::JsonObject;
use serde_json::{Value, json};

use super::super::answer::{Delivery, shortened};

/// A field has at most so many bytes.
const FIELD_BYTES_MAX: usize = 1_024;

/// Google takes so many bytes of names and values together, and refuses what has more.
const DATA_BYTES_MAX: usize = 4_096;

/// What the data come to.
#[derive(Debug, PartialEq)]
pub(super) enum Data {
    /// This.
    Whole(JsonObject),
    /// There is nothing to tell.
    Nothing,
    /// The client wants all data to begin with something that is no object.
    Malformed,
    /// They do not fit, however much is left out.
    TooLarge,
}

/// The data of a notification. Google takes texts only.
pub(super) fn data(delivery: &Delivery<'_>, badge_counts: bool) -> Data {
    let Some(begun) = delivery.default_payload() else {
        return Data::Malformed;
    };
    let notice = &delivery.notice;
    let mut data: JsonObject = begun
        .into_iter()
        .map(|(key, value)| (key, as_text(value)))
        .collect();
    let texts = [
        ("event_id", &notice.event_id),
        ("type", &notice.event_type),
        ("sender", &notice.sender),
        ("room_name", &notice.room_name),
        ("room_alias", &notice.room_alias),
        ("membership", &notice.membership),
        ("sender_display_name", &notice.sender_display_name),
        ("room_id", &notice.room_id),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            data.insert(key.to_owned(), short(text));
        }
    }
    for (key, value) in notice.content.iter().flatten() {
        if let Value::String(text) = value {
            data.insert(format!("content_{key}"), short(text));
        }
    }
    let counts = [
        ("unread", notice.unread()),
        ("missed_calls", notice.missed_calls()),
    ];
    let counts = counts
        .into_iter()
        .filter_map(|(key, count)| Some((key, count?)))
        // Zero is worth telling only where there is nothing else to tell.
        .filter(|(_, count)| *count != 0 || notice.event_id.is_none());
    let counts: Vec<_> = counts.filter(|_| badge_counts).collect();
    if notice.event_id.is_none() && notice.room_id.is_none() && counts.is_empty() {
        return Data::Nothing;
    }
    for (key, count) in counts {
        data.insert(key.to_owned(), json!(count.to_string()));
    }
    let prio = if notice.is_low() { "normal" } else { "high" };
    data.insert("prio".to_owned(), json!(prio));
    fitted(data).map_or(Data::TooLarge, Data::Whole)
}

/// Leaves out the longest fields of the content until the rest fits, the text last, and then names. The IDs are enough for the app to ask for the rest.
fn fitted(mut data: JsonObject) -> Option<JsonObject> {
    let bytes_of = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    while data.iter().map(bytes_of).sum::<usize>() > DATA_BYTES_MAX {
        let rank = |key: &str| match key {
            "content_body" => Some(1),
            "room_name" | "room_alias" | "sender_display_name" => Some(0),
            _ => key.starts_with("content_").then_some(2),
        };
        let ranked = data.iter().filter_map(|(key, value)| {
            let bytes = bytes_of((key, value));
            Some((rank(key)?, bytes, key))
        });
        let (_, _, longest) = ranked.max()?;
        let longest = longest.clone();
        data.remove(&longest);
    }
    Some(data)
}

fn as_text(value: Value) -> Value {
    match value {
        Value::String(_) => value,
        other => Value::String(other.to_string()),
    }
}

/// The beginning of a text, with a sign that something is missing.
fn short(text: &str) -> Value {
    if text.len() <= FIELD_BYTES_MAX {
        return json!(text);
    }
    let cut = shortened(text, FIELD_BYTES_MAX - '…'.len_utf8());
    json!(format!("{cut}…"))
}

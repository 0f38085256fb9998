//! Notifications without what no provider takes: what waits is written down once for each device, so its size must not be strangers' choice.
//!
//! Providers take 4 to 5 KiB for all of it, and the payloads cut texts well below the bounds here: what they make of a notification is the same.

use playhouse_actors::env::JsonObject;
use serde_json::{Value, json};

use super::{answer::shortened, notification::Notice};

/// A content of so many bytes is kept as it is.
const CONTENT_BYTES_FREE: usize = 8 * 1_024;

/// Of a larger one a text has at most so many bytes. Above what any payload shows, so that it is still seen there that something is missing.
const TEXT_BYTES_MAX: usize = 2_048;

/// Anything else has at most so many bytes.
const PART_BYTES_MAX: usize = 1_024;

/// And all of it.
const PARTS_BYTES_MAX: usize = 16 * 1_024;

impl Notice {
    /// The same without what no provider takes.
    pub(super) fn lean(mut self) -> Self {
        let names = [
            &mut self.sender_display_name,
            &mut self.room_name,
            &mut self.room_alias,
        ];
        for name in names.into_iter().flatten() {
            cut(name);
        }
        self.content = self.content.map(lean);
        self
    }
}

fn lean(content: JsonObject) -> JsonObject {
    let bytes_of = |value: &Value| value.to_string().len();
    let bytes = |content: &JsonObject| {
        let fields = content.iter();
        fields
            .map(|(key, value)| key.len() + bytes_of(value))
            .sum::<usize>()
    };
    if bytes(&content) <= CONTENT_BYTES_FREE {
        return content;
    }
    let is_video = is_video(&content);
    let mut kept = JsonObject::new();
    if is_video {
        kept.insert("offer".to_owned(), json!({ "sdp": "m=video" }));
    }
    let mut left = PARTS_BYTES_MAX;
    // What is shown goes before the rest.
    let (shown, rest): (Vec<_>, Vec<_>) = content
        .into_iter()
        .partition(|(key, _)| matches!(key.as_str(), "body" | "lifetime" | "msgtype"));
    for (key, mut value) in shown.into_iter().chain(rest) {
        let is_text = match &mut value {
            Value::String(text) => {
                cut(text);
                true
            }
            _ => false,
        };
        let bytes = key.len() + bytes_of(&value);
        let fits = bytes <= left && (is_text || bytes <= PART_BYTES_MAX);
        if fits && !kept.contains_key(&key) {
            left -= bytes;
            kept.insert(key, value);
        }
    }
    kept
}

/// A call with a picture has another text than one without, and its offer is long.
fn is_video(content: &JsonObject) -> bool {
    let sdp = content.get("offer").and_then(|offer| offer.get("sdp"));
    sdp.and_then(Value::as_str)
        .is_some_and(|sdp| sdp.contains("m=video"))
}

fn cut(text: &mut String) {
    let end = shortened(text, TEXT_BYTES_MAX).len();
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(value: Value) -> JsonObject {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_is_usual_stays_as_it_is() {
        let usual =
            content(json!({ "body": "x".repeat(4_000), "offer": { "sdp": "y".repeat(3_000) } }));
        assert_eq!(lean(usual.clone()), usual);
    }

    #[test]
    fn what_strangers_blow_up_does_not() {
        let mut blown = content(json!({
            "body": "x".repeat(60_000), "msgtype": "m.text", "deep": { "x": "y".repeat(60_000) },
            "offer": { "sdp": format!("{}m=video", "z".repeat(60_000)) }, "lifetime": 60_000,
        }));
        for number in 0..100 {
            blown.insert(format!("a{number}"), json!("x".repeat(2_000)));
        }
        let kept = lean(blown);
        let text = Value::Object(kept.clone()).to_string();
        assert!(text.len() <= PARTS_BYTES_MAX + 1_024, "{}", text.len());
        assert_eq!(kept["body"].as_str().unwrap().len(), TEXT_BYTES_MAX);
        assert_eq!(
            (&kept["msgtype"], &kept["lifetime"]),
            (&json!("m.text"), &json!(60_000))
        );
        assert!(is_video(&kept) && !kept.contains_key("deep"));
    }

    #[test]
    fn names_are_cut() {
        let notice = Notice {
            room_name: Some("ä".repeat(50_000)),
            sender: Some("@a:b".to_owned()),
            ..Notice::default()
        };
        let lean = notice.lean();
        assert_eq!(lean.room_name.unwrap().len(), TEXT_BYTES_MAX);
        assert_eq!(lean.sender.as_deref(), Some("@a:b"));
    }
}

//! One request to a provider, and its answer, bounded in time and size.

use playhouse_actors::{
    env::JsonObject,
    gateway::{Push, Verdict},
};
use reqwest::RequestBuilder;
use serde_json::Value;

use super::{notification::Notice, retry::retry_after_ms};

/// Of an answer so many bytes are read.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// A notification on its way to one device.
pub(super) struct Delivery<'a> {
    /// What waits.
    pub(super) push: &'a Push,
    /// What is told.
    pub(super) notice: Notice,
    /// What the client has the homeserver say.
    pub(super) data: JsonObject,
    /// Milliseconds since the Unix epoch.
    pub(super) now_ms: u64,
}

impl Delivery<'_> {
    /// What the client wants every payload to begin with; `None` when that is no object.
    pub(super) fn default_payload(&self) -> Option<JsonObject> {
        match self.data.get("default_payload") {
            None | Some(Value::Null) => Some(JsonObject::new()),
            Some(payload) => payload.as_object().cloned(),
        }
    }

    /// So many seconds it is still of use.
    pub(super) fn ttl_s(&self) -> u64 {
        let left_ms = self.push.accepted.expires_ms.saturating_sub(self.now_ms);
        left_ms / 1_000
    }
}

/// What a provider says.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    body: Vec<u8>,
    retry_after_ms: Option<u64>,
}

impl Answer {
    /// Sends a request. `Err`: it is not known whether it arrived, or it did not.
    pub(super) async fn to(request: RequestBuilder, now_ms: u64) -> Result<Self, Verdict> {
        let response = request.send().await;
        let mut response = response.map_err(|error| trouble(&error))?;
        let mut answer = Self {
            status: response.status().as_u16(),
            body: Vec::new(),
            retry_after_ms: retry_after_ms(response.headers(), now_ms),
        };
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if answer.body.len() + piece.len() <= BODY_BYTES_MAX => {
                    answer.body.extend_from_slice(&piece);
                }
                // The status says enough.
                Ok(_) | Err(_) => return Ok(answer),
            }
        }
    }

    /// The body as JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// To be tried again.
    pub(super) fn later(&self, reason: &str) -> Verdict {
        self.not_before(0, reason)
    }

    /// To be tried again, but not before so long, unless the provider says when.
    pub(super) fn not_before(&self, wait_ms: u64, reason: &str) -> Verdict {
        let least = (wait_ms > 0).then_some(wait_ms);
        Verdict::Later {
            after_ms: self.retry_after_ms.or(least),
            reason: reason_of(self.status, reason),
        }
    }

    /// Never to be tried again; the pushkey is good.
    pub(super) fn refused(&self, reason: &str) -> Verdict {
        Verdict::Refused(reason_of(self.status, reason))
    }

    /// The pushkey is dead.
    pub(super) fn rejected(&self, reason: &str) -> Verdict {
        Verdict::Rejected(reason_of(self.status, reason))
    }
}

/// A provider's words go into the log: they must be few and plain.
fn reason_of(status: u16, words: &str) -> String {
    let plain = words
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_');
    let words: String = plain.take(64).collect();
    if words.is_empty() {
        status.to_string()
    } else {
        words
    }
}

fn trouble(error: &reqwest::Error) -> Verdict {
    let reason = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "unreachable"
    } else {
        "broken"
    };
    tracing::debug!(reason, error = %innermost(error), "a provider cannot be asked");
    Verdict::Later {
        after_ms: None,
        reason: reason.to_owned(),
    }
}

/// The cause of all: the outer ones name the URL, in which pushkeys stand.
fn innermost(error: &reqwest::Error) -> String {
    let mut source = std::error::Error::source(error);
    let mut words = "no answer".to_owned();
    while let Some(inner) = source {
        words = inner.to_string();
        source = inner.source();
    }
    words
}

/// The first bytes of a text, so many at most, of whole characters.
pub(super) fn shortened(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max)
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_plain() {
        assert_eq!(reason_of(410, "Unregistered"), "Unregistered");
        assert_eq!(reason_of(503, ""), "503");
        assert_eq!(reason_of(400, "a b\n\u{e9}"), "ab");
        assert_eq!(reason_of(400, &"x".repeat(500)).len(), 64);
    }

    #[test]
    fn characters_stay_whole() {
        assert_eq!(shortened("häuser", 2), "h");
        assert_eq!(shortened("häuser", 3), "hä");
        assert_eq!(shortened("h", 3), "h");
        assert_eq!(shortened("", 0), "");
    }

    #[test]
    fn the_provider_says_when() {
        let answer = |retry_after_ms| Answer {
            status: 429,
            body: Vec::new(),
            retry_after_ms,
        };
        let after = |verdict| match verdict {
            Verdict::Later { after_ms, .. } => after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(answer(Some(5)).not_before(60_000, "")), Some(5));
        assert_eq!(after(answer(None).not_before(60_000, "")), Some(60_000));
        assert_eq!(after(answer(None).later("")), None);
    }
}

//! Web Push (RFC 8030) to browsers, and to whatever else speaks it.

mod crowd;
mod encrypt;
#[cfg(test)]
mod tests;
mod vapid;

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use playhouse_actors::{
    env::{Env, JsonObject},
    gateway::Verdict,
};
use reqwest::Url;
use serde_json::{Value, json};

use self::{
    crowd::Crowds,
    encrypt::{Fresh, MESSAGE_BYTES_MAX, Subscription, encrypt},
    vapid::Vapid,
};
use super::{
    answer::{Answer, Delivery, shortened},
    collapse_id,
    glob::matches,
    wire::Wire,
};
use crate::config::PushApp;

/// The text of a message has at most so many bytes.
const BODY_BYTES_MAX: usize = 1_000;

/// A longer ciphertext is left out: the app fetches the event anyway.
const CIPHERTEXT_BYTES_MAX: usize = 2_000;

/// A push service's address has at most so many bytes.
const ENDPOINT_BYTES_MAX: usize = 2_048;

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Clients write base64 in both alphabets, with and without padding.
const ALPHABETS: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&URL_SAFE, CONFIG),
    GeneralPurpose::new(&STANDARD, CONFIG),
];

/// One app's way to browsers.
pub(super) struct WebPush {
    http: reqwest::Client,
    vapid: Vapid,
    allowed: Vec<String>,
    rules: crate::outbound::Rules,
    crowds: Crowds,
    badge_counts: bool,
    collapses: bool,
}

/// Where a browser is reached.
struct Address {
    endpoint: Url,
    subscription: Subscription,
}

impl WebPush {
    /// As configured; the configuration was checked.
    pub(super) fn open(app: &PushApp, wire: &Wire) -> Result<Self, String> {
        let key = app.vapid_private_key.as_deref().unwrap_or_default();
        let contact = app.vapid_contact.as_deref().unwrap_or_default();
        Ok(Self {
            http: wire.unknown()?,
            vapid: Vapid::open(key, contact)?,
            allowed: app.allowed_endpoints.clone(),
            rules: wire.rules().clone(),
            crowds: Crowds::new(app.requests_max),
            badge_counts: app.badge_counts,
            collapses: app.collapse.is_some(),
        })
    }

    /// Passes on a notification, once.
    pub(super) async fn deliver(&self, delivery: &Delivery<'_>, env: &Env) -> Verdict {
        let wants = |wish: &str| delivery.data.get(wish) == Some(&Value::Bool(true));
        if wants("events_only") && delivery.notice.event_id.is_none() {
            return Verdict::Needless;
        }
        let Some(address) = address(delivery) else {
            return Verdict::Unusable("BadSubscription".to_owned());
        };
        if !self.may_ask(&address.endpoint) {
            // No louder, nor what follows below: strangers say how often this happens.
            tracing::debug!(
                host = address.endpoint.host_str(),
                "this push service is not asked"
            );
            return Verdict::Refused("EndpointNotAllowed".to_owned());
        }
        let Some(_place) = self.crowds.enter(&address.endpoint) else {
            return later("crowded");
        };
        let Some(message) = message(delivery, self.badge_counts) else {
            return Verdict::Refused("PayloadTooLarge".to_owned());
        };
        let Ok(fresh) = Fresh::new(env.random_bytes()) else {
            return later("key");
        };
        let Ok(sealed) = encrypt(&message, &address.subscription, &fresh) else {
            return Verdict::Unusable("BadSubscription".to_owned());
        };
        let origin = address.endpoint.origin().ascii_serialization();
        let authorization = match self.vapid.authorization(&origin, delivery.now_ms) {
            Ok(authorization) => authorization,
            Err(reason) => {
                tracing::error!(reason, "cannot sign a token for a push service");
                return later("token");
            }
        };
        let is_low = delivery.notice.is_low();
        let mut request = self
            .http
            .post(address.endpoint)
            .header("authorization", authorization)
            .header("content-type", "application/octet-stream")
            .header("content-encoding", "aes128gcm")
            .header("ttl", delivery.ttl_s())
            .header("urgency", if is_low { "low" } else { "high" })
            .body(sealed);
        if (self.collapses || wants("only_last_per_room"))
            && let Some(topic) = collapse_id(&delivery.notice)
        {
            request = request.header("topic", topic);
        }
        match Answer::to(request, delivery.now_ms).await {
            Ok(answer) => judge(&answer),
            Err(verdict) => verdict,
        }
    }

    fn may_ask(&self, endpoint: &Url) -> bool {
        let host = endpoint.host_str().unwrap_or_default();
        let mut allowed = self.allowed.iter();
        let is_allowed = self.allowed.is_empty() || allowed.any(|pattern| matches(pattern, host));
        is_allowed && self.rules.check(endpoint).is_ok()
    }
}

fn later(reason: &str) -> Verdict {
    Verdict::Later {
        after_ms: None,
        reason: reason.to_owned(),
    }
}

fn judge(answer: &Answer) -> Verdict {
    match answer.status {
        200..=299 => Verdict::Delivered,
        404 | 410 => answer.rejected("Gone"),
        // The push service does not believe who we are, which the operator may put right.
        401 | 403 | 407 => answer.later(""),
        // Microsoft's service says 406 to whoever asks too often.
        406 | 408 | 425 | 429 | 500..=599 => answer.later(""),
        status => {
            tracing::debug!(status, "a push service refuses a notification");
            answer.refused("")
        }
    }
}

/// `None` when the client has not told where, or not so that it could be used.
fn address(delivery: &Delivery<'_>) -> Option<Address> {
    let text = |key: &str| delivery.data.get(key)?.as_str();
    let endpoint = text("endpoint").filter(|text| text.len() <= ENDPOINT_BYTES_MAX)?;
    let endpoint = Url::parse(endpoint).ok()?;
    if !matches!(endpoint.scheme(), "https" | "http") {
        return None;
    }
    let public_key = decoded(&delivery.push.accepted.pushkey)?;
    let secret = decoded(text("auth")?)?;
    let is_whole = public_key.len() == 65 && secret.len() == 16;
    is_whole.then_some(Address {
        endpoint,
        subscription: Subscription { public_key, secret },
    })
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut alphabets = ALPHABETS.iter();
    alphabets.find_map(|alphabet| alphabet.decode(text).ok())
}

/// What the web app gets; `None` when it does not fit.
fn message(delivery: &Delivery<'_>, badge_counts: bool) -> Option<Vec<u8>> {
    let whole = payload(delivery, badge_counts);
    let bytes = serde_json::to_vec(&whole).ok()?;
    if bytes.len() <= MESSAGE_BYTES_MAX {
        return Some(bytes);
    }
    // The IDs are enough for the app to ask for the rest.
    let mut bare = whole;
    for key in ["content", "room_name", "room_alias", "sender_display_name"] {
        bare.remove(key);
    }
    let bytes = serde_json::to_vec(&bare).ok()?;
    (bytes.len() <= MESSAGE_BYTES_MAX).then_some(bytes)
}

fn payload(delivery: &Delivery<'_>, badge_counts: bool) -> JsonObject {
    let notice = &delivery.notice;
    let mut payload = delivery.default_payload().unwrap_or_default();
    let texts = [
        ("room_id", &notice.room_id),
        ("room_name", &notice.room_name),
        ("room_alias", &notice.room_alias),
        ("membership", &notice.membership),
        ("event_id", &notice.event_id),
        ("sender", &notice.sender),
        ("sender_display_name", &notice.sender_display_name),
        ("type", &notice.event_type),
    ];
    for (key, text) in texts {
        // Synapse's counts have a sender that is empty.
        if let Some(text) = text
            && !text.is_empty()
        {
            payload.insert(key.to_owned(), json!(text));
        }
    }
    if notice.user_is_target == Some(true) {
        payload.insert("user_is_target".to_owned(), json!(true));
    }
    let counts = [
        ("unread", notice.unread()),
        ("missed_calls", notice.missed_calls()),
    ];
    for (key, count) in counts.into_iter().filter(|_| badge_counts) {
        if let Some(count) = count {
            payload.insert(key.to_owned(), json!(count));
        }
    }
    if let Some(content) = &notice.content
        && !content.is_empty()
    {
        payload.insert("content".to_owned(), Value::Object(content_of(content)));
    }
    payload
}

/// The content without what a notification cannot show.
fn content_of(content: &JsonObject) -> JsonObject {
    let mut content = content.clone();
    content.remove("formatted_body");
    if let Some(Value::String(body)) = content.get_mut("body")
        && body.len() > BODY_BYTES_MAX
    {
        let cut = shortened(body, BODY_BYTES_MAX);
        *body = format!("{cut}…");
    }
    let ciphertext = content.get("ciphertext").and_then(Value::as_str);
    if ciphertext.is_some_and(|ciphertext| ciphertext.len() > CIPHERTEXT_BYTES_MAX) {
        content.remove("ciphertext");
    }
    content
}

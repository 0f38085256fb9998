//! Apple Push Notification service over HTTP/2.
//!
//! Facts: "Sending notification requests to APNs" and "Handling notification responses from APNs" of Apple's developer documentation.

mod payload;
#[cfg(test)]
mod tests;
mod topic;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use parking_lot::Mutex;
use playhouse_actors::{env::JsonObject, gateway::Verdict};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use self::{
    payload::{Payload, Style},
    topic::topic,
};
use super::{
    answer::{Answer, Delivery},
    collapse_id,
    ec_key::EcKey,
    wire::Wire,
};
use crate::config::PushApp;

/// Apple refuses larger payloads; VoIP may have more.
const PAYLOAD_BYTES_MAX: usize = 4_096;
const VOIP_BYTES_MAX: usize = 5_120;

/// Apple wants tokens not older than an hour.
const TOKEN_KEPT_MS: u64 = 45 * 60 * 1_000;

/// Whoever comes with a new token before this time is up is turned away (`TooManyProviderTokenUpdates`), whatever the old one was worth.
const TOKEN_KEPT_MS_MIN: u64 = 20 * 60 * 1_000;

/// Clients write base64 with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One app's way to Apple.
pub(super) struct Apns {
    http: reqwest::Client,
    base: String,
    topic: Option<String>,
    push_type: Option<String>,
    hex_tokens: bool,
    collapses: bool,
    style: Style,
    /// `None` when a certificate says who sends.
    tokens: Option<Tokens>,
}

/// What says who sends.
struct Tokens {
    key: EcKey,
    key_id: String,
    team_id: String,
    last: Mutex<Option<(u64, String)>>,
}

impl Apns {
    /// As configured; the configuration was checked.
    pub(super) fn open(app: &PushApp, wire: &Wire) -> Result<Self, String> {
        let is_voip = app.push_type.as_deref() == Some("voip");
        let host = match app.platform.as_deref() {
            Some("sandbox") => "https://api.sandbox.push.apple.com",
            _ => "https://api.push.apple.com",
        };
        let tokens = match &app.key_file {
            Some(path) => Some(Tokens {
                key: EcKey::open(path)?,
                key_id: app.key_id.clone().unwrap_or_default(),
                team_id: app.team_id.clone().unwrap_or_default(),
                last: Mutex::default(),
            }),
            None => None,
        };
        Ok(Self {
            http: wire.http2(app.certificate.as_deref())?,
            base: app
                .url
                .as_deref()
                .unwrap_or(host)
                .trim_end_matches('/')
                .to_owned(),
            topic: topic(app, is_voip)?,
            push_type: app.push_type.clone(),
            hex_tokens: app.hex_tokens,
            collapses: app.collapse.is_some(),
            style: Style {
                badge_counts: app.badge_counts,
                mutable_content: app.mutable_content,
                bytes_max: if is_voip {
                    VOIP_BYTES_MAX
                } else {
                    PAYLOAD_BYTES_MAX
                },
            },
            tokens,
        })
    }

    /// Passes on a notification, once.
    pub(super) async fn deliver(&self, delivery: &Delivery<'_>) -> Verdict {
        let is_voip = self.push_type.as_deref() == Some("voip");
        // Whoever gets such a push must let the phone ring.
        if is_voip && delivery.notice.event_id.is_none() {
            return Verdict::Needless;
        }
        let Some(device) = self.device_token(&delivery.push.accepted.pushkey) else {
            return Verdict::Unusable("BadDeviceToken".to_owned());
        };
        let payload = match payload::payload(delivery, &self.style) {
            Payload::Whole(payload) => payload,
            Payload::Nothing => return Verdict::Needless,
            Payload::Malformed => return Verdict::Unusable("BadDefaultPayload".to_owned()),
            Payload::TooLarge => return Verdict::Refused("PayloadTooLarge".to_owned()),
        };
        let request = match self.request((&device, &payload), delivery) {
            Ok(request) => request,
            Err(reason) => {
                tracing::error!(reason, "cannot sign a token for APNs");
                return Verdict::Later {
                    after_ms: None,
                    reason: "token".to_owned(),
                };
            }
        };
        match Answer::to(request, delivery.now_ms).await {
            Ok(answer) => self.judge(&answer, delivery.now_ms),
            Err(verdict) => verdict,
        }
    }

    fn request(
        &self,
        (device, payload): (&str, &JsonObject),
        delivery: &Delivery<'_>,
    ) -> Result<RequestBuilder, String> {
        let accepted = &delivery.push.accepted;
        let push_type = self
            .push_type
            .as_deref()
            .unwrap_or_else(|| type_of(payload));
        // Apple refuses others for pushes that nobody sees.
        let is_low = delivery.notice.is_low() || push_type == "background";
        let mut request = self
            .http
            .post(format!("{}/3/device/{device}", self.base))
            .header("apns-id", &accepted.push_id)
            .header("apns-expiration", accepted.expires_ms / 1_000)
            .header("apns-priority", if is_low { "5" } else { "10" })
            .header("apns-push-type", push_type);
        if let Some(topic) = &self.topic {
            request = request.header("apns-topic", topic);
        }
        if self.collapses
            && let Some(collapse_id) = collapse_id(&delivery.notice)
        {
            request = request.header("apns-collapse-id", collapse_id);
        }
        if let Some(tokens) = &self.tokens {
            request = request.bearer_auth(tokens.current(delivery.now_ms)?);
        }
        Ok(request.json(payload))
    }

    /// The device's token in hexadecimal.
    fn device_token(&self, pushkey: &str) -> Option<String> {
        if self.hex_tokens {
            let is_hex = pushkey.bytes().all(|byte| byte.is_ascii_hexdigit());
            return is_hex.then(|| pushkey.to_ascii_lowercase());
        }
        let bytes = BASE64.decode(pushkey).ok()?;
        (!bytes.is_empty()).then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn judge(&self, answer: &Answer, now_ms: u64) -> Verdict {
        let json = answer.json();
        let reason = json.get("reason").and_then(Value::as_str).unwrap_or("");
        match (answer.status, reason) {
            (200..=299, _) => Verdict::Delivered,
            (410, _) | (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => {
                answer.rejected(reason)
            }
            (403, _) => {
                tracing::warn!(reason, "APNs does not believe who we are");
                if let Some(tokens) = &self.tokens
                    && reason == "ExpiredProviderToken"
                {
                    tokens.replace(now_ms);
                }
                answer.later(reason)
            }
            // What the operator may put right.
            (
                400,
                "BadCertificateEnvironment" | "BadTopic" | "MissingTopic" | "TopicDisallowed",
            ) => {
                tracing::warn!(reason, "APNs does not know this topic as ours");
                answer.later(reason)
            }
            (400, "IdleTimeout") | (408 | 429 | 500..=599, _) => answer.later(reason),
            _ => {
                tracing::warn!(
                    status = answer.status,
                    reason,
                    "APNs refuses a notification"
                );
                answer.refused(reason)
            }
        }
    }
}

impl Tokens {
    /// The token of these minutes.
    fn current(&self, now_ms: u64) -> Result<String, String> {
        let mut last = self.last.lock();
        if let Some((since_ms, token)) = &*last
            && now_ms.saturating_sub(*since_ms) < TOKEN_KEPT_MS
        {
            return Ok(token.clone());
        }
        let header = json!({ "alg": "ES256", "kid": self.key_id });
        let claims = json!({ "iss": self.team_id, "iat": now_ms / 1_000 });
        let token = self.key.token(&header, &claims)?;
        *last = Some((now_ms, token.clone()));
        Ok(token)
    }

    /// The token is too old, Apple says. One that is young is not: then it is the clocks that disagree, and another token would not help.
    fn replace(&self, now_ms: u64) {
        let mut last = self.last.lock();
        if last
            .as_ref()
            .is_some_and(|(since_ms, _)| now_ms.saturating_sub(*since_ms) >= TOKEN_KEPT_MS_MIN)
        {
            *last = None;
        }
    }
}

/// The push type that fits a payload.
fn type_of(payload: &JsonObject) -> &'static str {
    let aps = payload.get("aps").and_then(Value::as_object);
    let has = |key: &str| aps.is_some_and(|aps| aps.contains_key(key));
    let is_seen = ["alert", "badge", "sound"].into_iter().any(has);
    if !is_seen && has("content-available") {
        "background"
    } else {
        "alert"
    }
}

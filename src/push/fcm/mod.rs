//! Firebase Cloud Messaging, HTTP v1.
//!
//! Facts: the reference of `projects.messages` and "ErrorCode" in Firebase's documentation.

mod account;
mod data;
#[cfg(test)]
mod tests;

use playhouse_actors::{env::JsonObject, gateway::Verdict};
use serde_json::{Value, json};

use self::{account::Account, data::Data};
use super::{
    answer::{Answer, Delivery},
    collapse_id,
    wire::Wire,
};
use crate::config::PushApp;

/// Google wants to be left alone for at least so long when a quota is used up.
const QUOTA_WAIT_MS: u64 = 60_000;

/// One app's way to Google.
pub(super) struct Fcm {
    http: reqwest::Client,
    url: String,
    account: Account,
    options: JsonObject,
    badge_counts: bool,
    collapses: bool,
}

impl Fcm {
    /// As configured; the configuration was checked.
    pub(super) fn open(app: &PushApp, wire: &Wire) -> Result<Self, String> {
        let base = app.url.as_deref().unwrap_or("https://fcm.googleapis.com");
        let project = app.project_id.as_deref().unwrap_or_default();
        let options = serde_json::to_value(&app.options).map_err(|error| error.to_string())?;
        Ok(Self {
            http: wire.known()?,
            url: format!(
                "{}/v1/projects/{project}/messages:send",
                base.trim_end_matches('/')
            ),
            account: Account::open(app.service_account_file.as_deref().unwrap_or_default())?,
            options: options.as_object().cloned().unwrap_or_default(),
            badge_counts: app.badge_counts,
            collapses: app.collapse.is_some(),
        })
    }

    /// Passes on a notification, once.
    pub(super) async fn deliver(&self, delivery: &Delivery<'_>) -> Verdict {
        let data = match data::data(delivery, self.badge_counts) {
            Data::Whole(data) => data,
            Data::Nothing => return Verdict::Needless,
            Data::Malformed => return Verdict::Unusable("BadDefaultPayload".to_owned()),
            Data::TooLarge => return Verdict::Refused("PayloadTooLarge".to_owned()),
        };
        let message = self.message(data, delivery);
        let token = match self.account.token(&self.http, delivery.now_ms).await {
            Ok(token) => token,
            Err(verdict) => return verdict,
        };
        let request = self
            .http
            .post(&self.url)
            .bearer_auth(&token)
            .json(&json!({ "message": message }));
        let answer = match Answer::to(request, delivery.now_ms).await {
            Ok(answer) => answer,
            Err(verdict) => return verdict,
        };
        // Of another kind is the 401 by which Google says that Apple does not believe the project (`THIRD_PARTY_AUTH_ERROR`).
        let json = answer.json();
        let is_ours =
            code_of(json.get("error").unwrap_or(&Value::Null)) != "THIRD_PARTY_AUTH_ERROR";
        if answer.status == 401 && is_ours {
            self.account.forget(&token).await;
        }
        judge(&answer)
    }

    /// What the operator wants every message to begin with, and this one's own.
    fn message(&self, data: JsonObject, delivery: &Delivery<'_>) -> JsonObject {
        let mut message = self.options.clone();
        message.insert("token".to_owned(), json!(delivery.push.accepted.pushkey));
        message.insert("data".to_owned(), Value::Object(data));
        let android = message.entry("android").or_insert_with(|| json!({}));
        if let Some(android) = android.as_object_mut() {
            let is_low = delivery.notice.is_low();
            let priority = if is_low { "normal" } else { "high" };
            android.insert("priority".to_owned(), json!(priority));
            let ttl = format!("{}s", delivery.ttl_s());
            android.entry("ttl").or_insert_with(|| json!(ttl));
            if self.collapses
                && let Some(collapse_id) = collapse_id(&delivery.notice)
            {
                android.insert("collapse_key".to_owned(), json!(collapse_id));
            }
        }
        message
    }
}

fn judge(answer: &Answer) -> Verdict {
    if answer.status < 300 {
        return Verdict::Delivered;
    }
    let json = answer.json();
    let error = json.get("error").unwrap_or(&Value::Null);
    let reason = code_of(error);
    match (answer.status, reason) {
        (_, "UNREGISTERED" | "SENDER_ID_MISMATCH") => answer.rejected(reason),
        (400, _) if is_about_token(error) => answer.rejected(reason),
        (429, _) => answer.not_before(QUOTA_WAIT_MS, reason),
        (408 | 500..=599, _) => answer.later(reason),
        (401 | 403 | 404, _) => {
            tracing::warn!(
                status = answer.status,
                reason,
                "FCM does not let this project send"
            );
            answer.later(reason)
        }
        _ => {
            tracing::warn!(status = answer.status, reason, "FCM refuses a notification");
            answer.refused(reason)
        }
    }
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    let details = error.get("details").and_then(Value::as_array);
    details.into_iter().flatten()
}

/// What FCM itself says, or else what Google's gate says.
fn code_of(error: &Value) -> &str {
    let mut codes = details(error).filter_map(|detail| detail.get("errorCode")?.as_str());
    let status = error.get("status").and_then(Value::as_str);
    codes.next().or(status).unwrap_or("")
}

/// Whether what is wrong is the device's token, and not the message.
fn is_about_token(error: &Value) -> bool {
    if code_of(error) != "INVALID_ARGUMENT" {
        return false;
    }
    let fields = details(error)
        .filter_map(|detail| detail.get("fieldViolations")?.as_array())
        .flatten();
    let mut fields = fields.filter_map(|violation| violation.get("field")?.as_str());
    let words = error.get("message").and_then(Value::as_str).unwrap_or("");
    fields.any(|field| field == "message.token")
        || words.contains("not a valid FCM registration token")
}

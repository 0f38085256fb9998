//! `POST /_matrix/push/v1/notify`: accepted, made durable, and answered when the providers have spoken or the time is up.

use std::time::Duration;

use futures_util::future::join_all;
use playhouse_actors::{
    gateway::{GatewayError, GatewayReply, NewPush, digest_of},
    kernel::Unavailable,
    trace::{HOPS, TraceContext},
};
use serde_json::Value;
use tracing::Span;

use super::{
    Gateway,
    apps::Apps,
    notification::{Device, Notice, Request},
};
use crate::edge::Failure;

/// A homeserver for which there is no room now shall come back after so long.
const RETRY_AFTER_MS: u64 = 30_000;

/// After so long a shard has moved, and an interrupted outbox is awake again.
const INTERRUPTED_RETRY_MS: u64 = 1_000;

/// What became of one device's notification.
enum Taken {
    /// Its pushkey is dead, or no app is meant by it.
    Rejected,
    /// It waits in the outbox.
    Waits { device: String, push_id: String },
}

impl Gateway {
    /// Takes a request's body, and answers the pushkeys that are dead.
    pub(super) async fn notify(
        &self,
        body: &[u8],
        trace: &TraceContext,
    ) -> Result<Vec<String>, Failure> {
        let bounds = self.bounds();
        let Request { notice, devices } = Request::parse(body, bounds.devices_max)?;
        let event_id = notice.event_id.as_deref();
        Span::current().record("event_id", event_id);
        tracing::debug!(target: HOPS, hop = "received", devices = devices.len(), "a homeserver has come");
        let notice = notice.lean();
        let apps = self.courier.apps();
        let taken = devices
            .iter()
            .map(|device| self.take((&apps, &notice), device, trace));
        // What is durable already is known again when the homeserver repeats itself.
        let taken = join_all(taken).await;
        let taken = taken.into_iter().collect::<Result<Vec<_>, Failure>>()?;
        let ends = taken
            .into_iter()
            .map(|taken| self.is_dead(taken, bounds.answer_within));
        let dead = join_all(ends).await;
        tracing::debug!(target: HOPS, hop = "told", "the homeserver is answered");
        let dead = devices
            .into_iter()
            .zip(dead)
            .filter(|(_, is_dead)| *is_dead);
        Ok(dead.map(|(device, _)| device.pushkey).collect())
    }

    async fn take(
        &self,
        (apps, notice): (&Apps, &Notice),
        device: &Device,
        trace: &TraceContext,
    ) -> Result<Taken, Failure> {
        let Some(app) = apps.find(&device.app_id) else {
            tracing::debug!(app_id = device.app_id, "a notification for no app of ours");
            metrics::counter!("playhouse_push_unknown_app_total").increment(1);
            return Ok(Taken::Rejected);
        };
        let ttl_ms = apps.ttl_ms(app, notice);
        let is_bare = app.is_for_ids_only() || device.wants_ids_only();
        let notice = if is_bare {
            notice.clone().stripped()
        } else {
            notice.clone()
        };
        let digest = app.device_digest(device);
        let data = device.data_text();
        let new = NewPush {
            // Two accounts of one app may hear of the same event: their data tell them apart.
            digest: notice
                .event_id
                .as_ref()
                .map(|event_id| digest_of(&[&digest, event_id, &data])),
            device: digest.clone(),
            app_id: device.app_id.clone(),
            pushkey: device.pushkey.clone(),
            pushkey_ts_ms: device.pushkey_ts_ms(),
            data,
            notification: text_of(&notice)?,
            ttl_ms,
            counts: notice.counts_alone().as_ref().map(text_of).transpose()?,
            trace: trace.header(),
        };
        match self.office.accept(new).await {
            Ok(GatewayReply::Accepted(push_id)) => {
                metrics::counter!("playhouse_push_notifications_total").increment(1);
                tracing::debug!(target: HOPS, hop = "accepted", push_id, device = digest, "it is in the log");
                Ok(Taken::Waits {
                    device: digest,
                    push_id,
                })
            }
            Ok(GatewayReply::Rejected) => Ok(Taken::Rejected),
            Ok(GatewayReply::Done) => Err(Failure::internal("an outbox's answer does not fit")),
            Err(error) => Err(failure(&error)),
        }
    }

    async fn is_dead(&self, taken: Taken, within: Duration) -> bool {
        match taken {
            Taken::Rejected => true,
            Taken::Waits { device, push_id } => {
                let dead = self.office.is_rejected(&device, push_id, within).await;
                dead.unwrap_or(false)
            }
        }
    }
}

fn text_of(notice: &Notice) -> Result<String, Failure> {
    serde_json::to_string(notice).map_err(Failure::internal)
}

fn failure(error: &GatewayError) -> Failure {
    match error {
        GatewayError::Full | GatewayError::Unavailable(Unavailable::Overloaded) => {
            metrics::counter!("playhouse_push_full_total").increment(1);
            Failure::limit_exceeded(RETRY_AFTER_MS)
        }
        GatewayError::Unavailable(_) => {
            let failure = Failure::internal(error).with_status(503);
            failure.with_retry(INTERRUPTED_RETRY_MS)
        }
    }
}

/// The body of an answer.
pub(super) fn answer(rejected: Vec<String>) -> Value {
    serde_json::json!({ "rejected": rejected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_heard_is_told_when_to_come_again() {
        for (error, status) in [
            (GatewayError::Full, 429),
            (GatewayError::Unavailable(Unavailable::Stopped), 503),
            (GatewayError::Unavailable(Unavailable::Timeout), 503),
        ] {
            let failure = failure(&error);
            assert_eq!(failure.status(), status, "{error}");
            assert!(failure.retry_after_seconds().is_some(), "{error}");
        }
    }
}

//! Whether an application service hears this server (application service API, "Pinging").

use std::time::Duration;

use ruma::api::error::ErrorCode;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{ThirdParty, bounded};
use crate::edge::{Bridge, Failure};

/// So much of an answer that is no success is told.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

impl ThirdParty {
    /// Asks, and tells how long the answer took.
    ///
    /// # Errors
    ///
    /// `M_URL_NOT_SET`, `M_CONNECTION_FAILED`, `M_CONNECTION_TIMEOUT`, and `M_BAD_STATUS` with status and body of the answer.
    pub(crate) async fn ping(
        &self,
        bridge: &Bridge,
        transaction_id: Option<&str>,
    ) -> Result<Duration, Failure> {
        let Some(url) = &bridge.url else {
            let why = "the registration names no address";
            return Err(Failure::new(ErrorCode::UrlNotSet, why));
        };
        let mut body = Map::new();
        if let Some(transaction_id) = transaction_id {
            body.insert("transaction_id".to_owned(), transaction_id.into());
        }
        let request = self
            .http
            .post(format!("{url}/_matrix/app/v1/ping"))
            .header("authorization", format!("Bearer {}", bridge.hs_token))
            .header("content-type", "application/json")
            .body(Value::from(body).to_string());
        let begun = Instant::now();
        let answer = request.send().await.map_err(|error| unheard(&error))?;
        let took = begun.elapsed();
        if answer.status().is_success() {
            return Ok(took);
        }
        let status = answer.status().as_u16();
        let told = bounded(answer, ANSWER_BYTES_MAX).await.unwrap_or_default();
        let why = "the application service answers with an error";
        Err(Failure::new(ErrorCode::BadStatus, why)
            .with_status(502)
            .with("status", status)
            .with("body", String::from_utf8_lossy(&told).into_owned()))
    }
}

fn unheard(error: &reqwest::Error) -> Failure {
    match error.is_timeout() {
        true => Failure::new(
            ErrorCode::ConnectionTimeout,
            "the application service does not answer in time",
        ),
        false => Failure::new(
            ErrorCode::ConnectionFailed,
            "the application service cannot be reached",
        ),
    }
}

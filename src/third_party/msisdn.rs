//! Phone numbers: the identity server that the operator named sends text messages and checks what comes back.

use playhouse_actors::threepid::{Address, Validation};
use reqwest::Method;
use ruma::api::error::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ThirdParty, bounded, encoded};
use crate::edge::Failure;

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A session at the delegate.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sent {
    /// Its ID.
    pub(crate) sid: String,
}

#[derive(Deserialize)]
struct Validated {
    medium: String,
    address: String,
    validated_at: u64,
}

impl ThirdParty {
    /// Whether phone numbers can be proven here.
    pub(crate) fn knows_phones(&self) -> bool {
        self.delegate.is_some()
    }

    /// Has a text message sent.
    pub(crate) async fn send_text(&self, wish: &Value) -> Result<Sent, Failure> {
        let path = "validate/msisdn/requestToken";
        let answer = self.delegated(Method::POST, path, Some(wish)).await?;
        serde_json::from_value(answer).map_err(|_| unusable())
    }

    /// Hands on the code that came back; whether it is the right one.
    pub(crate) async fn submit_code(
        &self,
        (sid, client_secret): (&str, &str),
        code: &str,
    ) -> Result<bool, Failure> {
        let body = json!({"sid": sid, "client_secret": client_secret, "token": code});
        let path = "validate/msisdn/submitToken";
        let answer = self.delegated(Method::POST, path, Some(&body)).await?;
        Ok(answer["success"].as_bool().unwrap_or(false))
    }

    /// What a session at the delegate has proven.
    pub(crate) async fn proven_phone(
        &self,
        sid: &str,
        client_secret: &str,
    ) -> Result<Option<Validation>, Failure> {
        let path = format!(
            "3pid/getValidated3pid?sid={}&client_secret={}",
            encoded(sid),
            encoded(client_secret)
        );
        let answer = match self.delegated(Method::GET, &path, None).await {
            Ok(answer) => answer,
            Err(failure) if failure.status() < 500 => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let Ok(validated) = serde_json::from_value::<Validated>(answer) else {
            return Ok(None);
        };
        // The delegate is trusted with phone numbers only.
        let address = (validated.medium == "msisdn")
            .then(|| Address::msisdn(&validated.address))
            .flatten();
        Ok(address.map(|address| Validation {
            address,
            validated_ms: validated.validated_at,
        }))
    }

    async fn delegated(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let Some(delegate) = &self.delegate else {
            return Err(Failure::new(
                ErrorCode::ThreepidMediumNotSupported,
                "phone numbers cannot be proven on this server",
            ));
        };
        let url = format!(
            "{}/_matrix/identity/api/v1/{path}",
            delegate.trim_end_matches('/')
        );
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| {
            tracing::warn!(error = %error.without_url(), "the delegate for phone numbers cannot be asked");
            unusable()
        })?;
        let status = response.status().as_u16();
        let body = bounded(response, ANSWER_BYTES_MAX).await;
        let body = body.map_err(|_| unusable())?;
        let answer: Value = serde_json::from_slice(&body).map_err(|_| unusable())?;
        match (status, answer["errcode"].as_str()) {
            (200..=299, _) => Ok(answer),
            (400..=499, Some(errcode)) => {
                let error = answer["error"].as_str().unwrap_or_default();
                let error: String = error.chars().take(200).collect();
                Err(Failure::new(ErrorCode::from(errcode), error).with_status(400))
            }
            _ => Err(unusable()),
        }
    }
}

fn unusable() -> Failure {
    Failure::new(ErrorCode::Unknown, "phone numbers cannot be proven now").with_status(502)
}

//! The one table from errors to `errcode` and HTTP status.

use std::{borrow::Cow, fmt::Display};

use ruma::api::error::{DeserializationError, ErrorCode, FromHttpRequestError, IntoHttpError};
use serde_json::{Map, Value, json};

/// After so long a shard has moved, an interrupted actor is awake again, and a model has caught up.
const BUSY_RETRY_MS: u64 = 1_000;

/// Why a request is refused. Boxed, since nearly every function of the edge returns it.
#[derive(Debug)]
pub(crate) struct Failure(Box<Reason>);

#[derive(Debug)]
struct Reason {
    status: u16,
    code: ErrorCode,
    message: Cow<'static, str>,
    fields: Map<String, Value>,
    retry_after_ms: Option<u64>,
    /// For the log only.
    inside: Option<String>,
    /// The whole body, where the specification wants no `errcode` (user-interactive authentication).
    body: Option<Value>,
}

impl Failure {
    /// A failure with the status that belongs to its code.
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Reason {
            status: status_of(&code),
            code,
            message: message.into(),
            fields: Map::new(),
            retry_after_ms: None,
            inside: None,
            body: None,
        }))
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.status = status;
        self
    }

    /// The same with one more field in the body.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.fields.insert(field.to_owned(), value.into());
        self
    }

    /// `M_FORBIDDEN`.
    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    /// `M_NOT_FOUND`.
    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// `M_INVALID_PARAM`.
    pub(crate) fn invalid_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidParam, message)
    }

    /// `M_MISSING_PARAM`.
    pub(crate) fn missing_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::MissingParam, message)
    }

    /// `M_BAD_JSON`.
    pub(crate) fn bad_json(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadJson, message)
    }

    /// `M_NOT_JSON`.
    pub(crate) fn not_json(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotJson, message)
    }

    /// `M_UNKNOWN_TOKEN`; with `soft_logout` the client may log in again and keep its device.
    pub(crate) fn unknown_token(soft_logout: bool) -> Self {
        Self::new(ErrorCode::UnknownToken, "unknown or ended access token")
            .with("soft_logout", soft_logout)
    }

    /// `M_LIMIT_EXCEEDED` with the time to wait, in the body and as a `Retry-After` header.
    pub(crate) fn limit_exceeded(retry_after_ms: u64) -> Self {
        Self::new(ErrorCode::LimitExceeded, "too many requests").with_retry(retry_after_ms)
    }

    /// The same with the time to wait, milliseconds, in the body and as a `Retry-After` header.
    pub(crate) fn with_retry(self, retry_after_ms: u64) -> Self {
        let mut failure = self.with("retry_after_ms", retry_after_ms);
        failure.0.retry_after_ms = Some(retry_after_ms);
        failure
    }

    /// 503 with the time to wait: not now, and whether it was done is not always known.
    pub(crate) fn busy(message: impl Into<Cow<'static, str>>) -> Self {
        let failure = Self::new(ErrorCode::Unknown, message).with_status(503);
        failure.with_retry(BUSY_RETRY_MS)
    }

    /// 503 with the time to wait, since the database is away or slow: the log gets the reason.
    pub(crate) fn away(reason: impl Display) -> Self {
        let mut failure = Self::busy("the database does not answer, try again");
        failure.0.inside = Some(reason.to_string());
        failure
    }

    /// Trouble of our own: the caller gets `M_UNKNOWN` and a trace identifier, the log gets the reason.
    pub(crate) fn internal(reason: impl Display) -> Self {
        let mut failure = Self::new(ErrorCode::Unknown, "internal error").with_status(500);
        failure.0.inside = Some(reason.to_string());
        failure
    }

    /// A 401 that asks for (more) user-interactive authentication; the body is the whole answer: `flows`, `params`, `session`, `completed`, and `errcode` and
    /// `error` when a stage failed.
    pub(crate) fn authentication_needed(body: Value) -> Self {
        let mut failure = Self::new(ErrorCode::Unauthorized, "").with_status(401);
        failure.0.body = Some(body);
        failure
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.0.status
    }

    /// The code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> &ErrorCode {
        &self.0.code
    }

    /// What is wrong, in words.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What only the log may know.
    pub(crate) fn inside(&self) -> Option<&str> {
        self.0.inside.as_deref()
    }

    /// Seconds for a `Retry-After` header.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.0.retry_after_ms.map(|wait_ms| wait_ms.div_ceil(1000))
    }

    /// The body of the answer.
    pub(crate) fn body(&self, trace_id: &str) -> Value {
        if let Some(body) = &self.0.body {
            return body.clone();
        }
        let message = match &self.0.inside {
            Some(_) => format!("{}; trace identifier {trace_id}", self.0.message),
            None => self.0.message.to_string(),
        };
        let mut body = json!({ "errcode": self.0.code.as_str(), "error": message });
        if let Some(object) = body.as_object_mut() {
            object.extend(self.0.fields.clone());
        }
        body
    }
}

/// The status that belongs to a code, unless an endpoint says otherwise.
fn status_of(code: &ErrorCode) -> u16 {
    match code {
        ErrorCode::MissingToken
        | ErrorCode::UnknownToken
        | ErrorCode::Unauthorized
        | ErrorCode::UserLocked => 401,
        ErrorCode::Forbidden
        | ErrorCode::GuestAccessForbidden
        | ErrorCode::UserDeactivated
        | ErrorCode::UserSuspended
        | ErrorCode::UnableToGrantJoin
        | ErrorCode::WrongRoomKeysVersion
        | ErrorCode::ThreepidDenied
        | ErrorCode::ResourceLimitExceeded
        | ErrorCode::InviteBlocked
        | ErrorCode::CannotLeaveServerNoticeRoom => 403,
        ErrorCode::NotFound | ErrorCode::Unrecognized => 404,
        ErrorCode::CannotOverwriteMedia | ErrorCode::ConflictingUnsubscription => 409,
        ErrorCode::TooLarge => 413,
        ErrorCode::LimitExceeded => 429,
        ErrorCode::ConnectionFailed => 502,
        ErrorCode::NotYetUploaded | ErrorCode::ConnectionTimeout => 504,
        _ => 400,
    }
}

/// Guests may not use this endpoint.
pub(crate) fn guest_forbidden() -> Failure {
    Failure::new(ErrorCode::GuestAccessForbidden, "guests may not do this")
}

impl From<FromHttpRequestError> for Failure {
    fn from(error: FromHttpRequestError) -> Self {
        match error {
            FromHttpRequestError::Deserialization(error) => error.into(),
            _ => Self::new(ErrorCode::Unrecognized, "unrecognised request"),
        }
    }
}

impl From<DeserializationError> for Failure {
    fn from(error: DeserializationError) -> Self {
        match error {
            DeserializationError::Json(error) => error.into(),
            DeserializationError::Utf8(_) => Self::not_json("body is not UTF-8"),
            DeserializationError::Query(error) => {
                let message = error.to_string();
                if message.starts_with("missing field") {
                    Self::missing_param(message)
                } else {
                    Self::invalid_param(message)
                }
            }
            DeserializationError::Ident(error) => Self::invalid_param(error.to_string()),
            DeserializationError::Header(error) => Self::invalid_param(error.to_string()),
            error => Self::bad_json(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        match error.classify() {
            serde_json::error::Category::Data => {
                let message = error.to_string();
                if message.starts_with("missing field") {
                    Self::missing_param(message)
                } else {
                    Self::bad_json(message)
                }
            }
            _ => Self::not_json(error.to_string()),
        }
    }
}

impl From<IntoHttpError> for Failure {
    fn from(error: IntoHttpError) -> Self {
        Self::internal(error)
    }
}

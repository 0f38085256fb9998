//! Answers in the words of OAuth (RFC 6749, section 5): JSON without `errcode`.

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use playhouse_actors::{
    house::HouseError, kernel::Unavailable, oauth::OauthError, passes::PassError, user::UserError,
};
use serde_json::{Value, json};

use crate::edge::{Failure, Prepared, RawJson};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) why: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, why: impl Into<String>) -> Self {
        Self {
            code,
            why: why.into(),
        }
    }

    /// A parameter is missing or makes no sense.
    pub(super) fn invalid_request(why: impl Into<String>) -> Self {
        Self::new("invalid_request", why)
    }

    /// A code or token is unknown, ended, used, or somebody else's.
    pub(super) fn invalid_grant(why: impl Into<String>) -> Self {
        Self::new("invalid_grant", why)
    }

    /// The answer.
    pub(super) fn answer(&self) -> Prepared {
        let status = match self.code {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({ "error": self.code, "error_description": self.why });
        answer(&body).with_status(status)
    }
}

impl From<HouseError> for Refusal {
    fn from(error: HouseError) -> Self {
        match error {
            HouseError::Pass(PassError::Unknown | PassError::Used)
            | HouseError::User(
                UserError::UnknownToken { .. }
                | UserError::UnknownUser
                | UserError::Deactivated
                | UserError::Locked,
            ) => Self::invalid_grant("unknown, used or ended"),
            HouseError::Oauth(OauthError::Unknown) => Self::new("invalid_client", "unknown client"),
            HouseError::Oauth(OauthError::TooLong) => {
                Self::new("invalid_client_metadata", "too long")
            }
            HouseError::User(UserError::InvalidParam(why) | UserError::TooLarge(why)) => {
                Self::invalid_request(why)
            }
            HouseError::Busy
            | HouseError::Lagging(_)
            | HouseError::Oauth(OauthError::TooMany)
            | HouseError::User(UserError::Unavailable(
                Unavailable::Overloaded | Unavailable::Timeout | Unavailable::Stopped,
            )) => Self::new(
                "temporarily_unavailable",
                "too much at once, try again later",
            ),
            error => {
                tracing::error!(%error, "internal error behind an OAuth answer");
                Self::new("server_error", "internal error")
            }
        }
    }
}

/// An answer that nobody may keep.
pub(super) fn answer(body: &Value) -> Prepared {
    Prepared::from(RawJson(body.to_string().into()))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with_header(header::PRAGMA, HeaderValue::from_static("no-cache"))
}

/// Makes an OAuth answer of what came out.
pub(super) fn told(outcome: Result<Value, Refusal>) -> Result<Prepared, Failure> {
    Ok(match outcome {
        Ok(body) => answer(&body),
        Err(refusal) => refusal.answer(),
    })
}

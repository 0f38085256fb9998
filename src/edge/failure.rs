//! The one table from errors to `errcode` and HTTP status.

use std::{borrow::Cow, fmt::Display};

use playhouse_actors::{
    alias::AliasError, backup::BackupError, delays::DelayError, externals::ExternalError,
    house::HouseError, kernel::Unavailable, media::MediaError, oauth::OauthError,
    passes::PassError, registration::RegistrationError, reports::ReportError, room::RoomError,
    user::UserError,
};
use ruma::api::error::{DeserializationError, ErrorCode, FromHttpRequestError, IntoHttpError};
use serde_json::{Map, Value, json};

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
        let mut failure = Self::new(ErrorCode::LimitExceeded, "too many requests")
            .with("retry_after_ms", retry_after_ms);
        failure.0.retry_after_ms = Some(retry_after_ms);
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

/// Asked again after so long, some delayed events have perhaps been sent.
const FULL_RETRY_MS: u64 = 60_000;

/// Asked again after so long, an overloaded entity has probably room.
const OVERLOADED_RETRY_MS: u64 = 1_000;

/// Where there is no room for another OAuth client, some will be forgotten within this time.
const TOO_MANY_CLIENTS_RETRY_MS: u64 = 15 * 60 * 1_000;

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Overloaded => Self::limit_exceeded(OVERLOADED_RETRY_MS),
            Unavailable::Timeout => {
                Self::new(ErrorCode::Unknown, "timed out, try again").with_status(504)
            }
            Unavailable::Stopped => {
                Self::new(ErrorCode::Unknown, "interrupted, try again").with_status(503)
            }
        }
    }
}

impl From<RoomError> for Failure {
    fn from(error: RoomError) -> Self {
        match error {
            // A room that the reader may not know of answers like a room that the reader is not in.
            RoomError::UnknownRoom => Self::new(ErrorCode::NotFound, "unknown room"),
            RoomError::NotFound | RoomError::NotAtHand => Self::not_found("not found"),
            RoomError::Forbidden(message) => Self::forbidden(message),
            RoomError::GuestForbidden => guest_forbidden(),
            RoomError::BadJson(message) => Self::bad_json(message),
            RoomError::NotJson(message) => Self::not_json(message),
            RoomError::InvalidParam(message) => Self::invalid_param(message),
            RoomError::TooLarge => Self::new(ErrorCode::TooLarge, "event is too large"),
            RoomError::BadAlias(message) => Self::new(ErrorCode::BadAlias, message),
            RoomError::UnsupportedVersion(version) => Self::new(
                ErrorCode::UnsupportedRoomVersion,
                format!("room version {version} is not supported"),
            ),
            RoomError::UnableToGrantJoin(message) => {
                Self::new(ErrorCode::UnableToGrantJoin, message)
            }
            RoomError::InvalidRoomState(message) => Self::new(ErrorCode::InvalidRoomState, message),
            RoomError::Store(reason) => Self::internal(reason),
            RoomError::Unavailable(error) => error.into(),
        }
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        match error {
            UserError::UnknownUser => Self::not_found("unknown user"),
            UserError::UserInUse => Self::new(ErrorCode::UserInUse, "user ID is taken"),
            UserError::Deactivated => {
                Self::new(ErrorCode::UserDeactivated, "account was deactivated")
            }
            UserError::UnknownToken { soft_logout } => Self::unknown_token(soft_logout),
            UserError::Locked => {
                Self::new(ErrorCode::UserLocked, "account is locked").with("soft_logout", true)
            }
            UserError::NotFound => Self::not_found("not found"),
            UserError::InvalidParam(message) => Self::invalid_param(message),
            UserError::UnknownPos => Self::new(ErrorCode::UnknownPos, "unknown or ended pos"),
            UserError::Unsubscribed => Self::new(
                ErrorCode::ConflictingUnsubscription,
                "unsubscribed from the thread since",
            ),
            UserError::Misplaced(message) => Self::new(ErrorCode::Unknown, message),
            UserError::BadJson(message) => Self::bad_json(message),
            UserError::MissingParam(message) => Self::missing_param(message),
            // Clients know this code for it.
            UserError::KeyExists(_) => Self::new(ErrorCode::Unknown, error.to_string()),
            UserError::UnknownKey(_) => Self::not_found(error.to_string()),
            UserError::InvalidSignature(message) => {
                Self::new(ErrorCode::from("M_INVALID_SIGNATURE"), message)
            }
            UserError::ProofNeeded => Self::forbidden("this needs authentication"),
            UserError::ProfileTooLarge => {
                Self::new(ErrorCode::ProfileTooLarge, "the profile would be too large")
            }
            UserError::KeyTooLarge => {
                Self::new(ErrorCode::KeyTooLarge, "the name of the field is too long")
            }
            UserError::TooLarge(message) => Self::new(ErrorCode::TooLarge, message),
            UserError::Forbidden(message) => Self::forbidden(message),
            UserError::Room(reason) | UserError::Store(reason) => Self::internal(reason),
            UserError::Unavailable(error) => error.into(),
        }
    }
}

impl From<AliasError> for Failure {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::Unknown => Self::not_found("unknown alias"),
            AliasError::Taken(_) => {
                Self::new(ErrorCode::Unknown, "alias is taken").with_status(409)
            }
            AliasError::Unavailable(error) => error.into(),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::UnknownVersion | BackupError::UnknownSession => {
                Self::not_found(error.to_string())
            }
            BackupError::WrongVersion { current } => {
                Self::new(ErrorCode::WrongRoomKeysVersion, "wrong backup version")
                    .with("current_version", current)
            }
            BackupError::InvalidParam(message) => Self::invalid_param(message),
            BackupError::BadJson(message) => Self::bad_json(message),
            BackupError::TooLarge(message) => Self::new(ErrorCode::TooLarge, message),
            BackupError::Unavailable(error) => error.into(),
        }
    }
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Unknown => Self::not_found("unknown media"),
            MediaError::CannotOverwrite => Self::new(
                ErrorCode::CannotOverwriteMedia,
                "this media ID has its content",
            ),
            MediaError::Forbidden => Self::forbidden("somebody else reserved this media ID"),
            MediaError::Expired => Self::not_found("the reserved media ID has expired"),
            MediaError::Unavailable(error) => error.into(),
        }
    }
}

impl From<RegistrationError> for Failure {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Unknown => Self::not_found("unknown registration token"),
            RegistrationError::Taken => Self::invalid_param("registration token exists"),
            RegistrationError::Invalid => {
                Self::new(ErrorCode::Unauthorized, "registration token is not valid")
            }
            RegistrationError::BadToken(message) => Self::invalid_param(message),
            RegistrationError::Unavailable(error) => error.into(),
        }
    }
}

impl From<DelayError> for Failure {
    fn from(error: DelayError) -> Self {
        let unstable = |code: &str, message: &'static str| {
            Self::new(ErrorCode::Unknown, message).with("org.matrix.msc4140.errcode", code)
        };
        match error {
            DelayError::Unknown => Self::not_found("unknown delayed event"),
            DelayError::Ended => {
                Self::new(ErrorCode::Unknown, "the delayed event has ended already")
                    .with_status(409)
            }
            DelayError::TooLong { max_ms } => {
                unstable("M_MAX_DELAY_EXCEEDED", "the delay is longer than allowed")
                    .with("org.matrix.msc4140.max_delay", max_ms)
            }
            DelayError::TooMany => unstable(
                "M_MAX_DELAYED_EVENTS_EXCEEDED",
                "too many delayed events wait already",
            ),
            DelayError::Full => Self::limit_exceeded(FULL_RETRY_MS),
            DelayError::NotJson(message) => Self::not_json(message),
            DelayError::BadJson(message) => Self::bad_json(message),
            DelayError::TooLarge => Self::new(ErrorCode::TooLarge, "event is too large"),
            DelayError::Unavailable(error) => error.into(),
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::TooMany { retry_after_ms } => Self::limit_exceeded(retry_after_ms),
            ReportError::ReasonTooLong => Self::invalid_param("the reason is too long"),
            ReportError::Unavailable(error) => error.into(),
        }
    }
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Unknown | PassError::Used => Self::forbidden("unknown, used or ended token"),
            PassError::TooLong => Self::new(ErrorCode::TooLarge, error.to_string()),
            PassError::Unavailable(error) => error.into(),
        }
    }
}

impl From<OauthError> for Failure {
    fn from(error: OauthError) -> Self {
        match error {
            OauthError::Unknown => Self::not_found("unknown client"),
            OauthError::TooMany => Self::limit_exceeded(TOO_MANY_CLIENTS_RETRY_MS),
            OauthError::TooLong => Self::new(ErrorCode::TooLarge, error.to_string()),
            OauthError::Unavailable(error) => error.into(),
        }
    }
}

impl From<ExternalError> for Failure {
    fn from(error: ExternalError) -> Self {
        match error {
            ExternalError::Taken => Self::forbidden(error.to_string()),
            ExternalError::Unavailable(error) => error.into(),
        }
    }
}

impl From<HouseError> for Failure {
    fn from(error: HouseError) -> Self {
        match error {
            HouseError::Room(error) => error.into(),
            HouseError::User(error) => error.into(),
            HouseError::Alias(error) => error.into(),
            HouseError::Media(error) => error.into(),
            HouseError::Backup(error) => error.into(),
            HouseError::Registration(error) => error.into(),
            HouseError::Delay(error) => error.into(),
            HouseError::Report(error) => error.into(),
            HouseError::Pass(error) => error.into(),
            HouseError::Oauth(error) => error.into(),
            HouseError::External(error) => error.into(),
            HouseError::BadLogin => Self::forbidden("wrong user or password"),
            HouseError::InvalidUsername(message) => Self::new(ErrorCode::InvalidUsername, message),
            HouseError::InvalidParam(message) => Self::invalid_param(message),
            HouseError::Forbidden(message) => Self::forbidden(message),
            HouseError::InviteBlocked { by_list } => {
                let code = if by_list {
                    ErrorCode::from("ORG.MATRIX.MSC4155.M_INVITE_BLOCKED")
                } else {
                    ErrorCode::InviteBlocked
                };
                Self::new(code, "this user does not want your invite").with_status(403)
            }
            HouseError::StillInRoom => Self::new(ErrorCode::Unknown, "you are still in this room"),
            HouseError::Unreachable(server) => {
                Self::not_found(format!("server {server} cannot be reached"))
            }
            HouseError::Busy => Self::limit_exceeded(OVERLOADED_RETRY_MS),
            HouseError::Store(reason) => Self::internal(reason),
        }
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

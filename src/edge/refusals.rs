//! The part of the table of [`super::failure`] for what actors and flows refuse.

use playhouse_actors::{
    admins::AdminError, alias::AliasError, backup::BackupError, delays::DelayError,
    externals::ExternalError, house::HouseError, kernel::Unavailable, media::MediaError,
    oauth::OauthError, passes::PassError, purges::PurgeError, registration::RegistrationError,
    reports::ReportError, room::RoomError, threepid::ThreepidError, user::UserError,
};
use playhouse_schema::port::StoreError;
use ruma::api::error::ErrorCode;

use super::failure::{Failure, guest_forbidden};

const FULL_RETRY_MS: u64 = 60_000;

/// Asked again after so long, an overloaded entity has probably room.
const OVERLOADED_RETRY_MS: u64 = 1_000;

/// Where there is no room for another OAuth client, some will be forgotten within this time.
const TOO_MANY_CLIENTS_RETRY_MS: u64 = 15 * 60 * 1_000;

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Overloaded => Self::limit_exceeded(OVERLOADED_RETRY_MS),
            Unavailable::Timeout => Self::busy("timed out, try again"),
            Unavailable::Stopped => Self::busy("interrupted, try again"),
            Unavailable::Damaged => Self::internal(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_passing() {
            Self::away(error)
        } else {
            Self::internal(error)
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
            RoomError::Moved | RoomError::Unrecommended(_) => Self::internal(error),
            RoomError::NotRecommended { errcode, error } => elsewhere(&errcode, error),
            RoomError::Store(reason) => Self::away(reason),
            RoomError::Broken(reason) => Self::internal(reason),
            RoomError::PartialState => Self::busy(error.to_string()),
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
            UserError::Store(reason) => Self::away(reason),
            UserError::Room(reason) | UserError::Broken(reason) => Self::internal(reason),
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
            // What was put away looks to everybody as if it were not there.
            MediaError::Quarantined => Self::not_found("unknown media"),
            MediaError::Removed => Self::not_found("this media is not kept any more"),
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
            RegistrationError::UnknownNonce => Self::new(ErrorCode::Unknown, "unknown nonce"),
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

impl From<PurgeError> for Failure {
    fn from(error: PurgeError) -> Self {
        match error {
            PurgeError::Unknown => Self::not_found("unknown purge"),
            PurgeError::Busy => Self::new(ErrorCode::Unknown, error.to_string()).with_status(400),
            PurgeError::TooMany => Self::limit_exceeded(FULL_RETRY_MS),
            PurgeError::TooManyBlocks => Self::new(ErrorCode::Unknown, error.to_string()),
            PurgeError::Unavailable(error) => error.into(),
        }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::UnknownToken => Self::unknown_token(false),
            AdminError::Unknown(message) => Self::not_found(message),
            AdminError::Invalid(message) | AdminError::Lasting(message) => {
                Self::invalid_param(message)
            }
            AdminError::TooMany => Self::new(ErrorCode::Unknown, error.to_string()),
            AdminError::ChangedSince | AdminError::Differs => {
                Self::new(ErrorCode::Unknown, error.to_string()).with_status(409)
            }
            AdminError::Unavailable(error) => error.into(),
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

impl From<ThreepidError> for Failure {
    fn from(error: ThreepidError) -> Self {
        match error {
            ThreepidError::Unknown => Self::new(ErrorCode::ThreepidNotFound, error.to_string()),
            ThreepidError::Taken(_) => Self::new(ErrorCode::ThreepidInUse, error.to_string()),
            ThreepidError::Invalid => Self::new(ErrorCode::ThreepidAuthFailed, error.to_string()),
            ThreepidError::Busy => Self::limit_exceeded(OVERLOADED_RETRY_MS),
            ThreepidError::Unavailable(error) => error.into(),
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

/// What another server refuses is refused here for the same reason, where that concerns the client; anything else is between the servers.
fn elsewhere(errcode: &str, error: String) -> Failure {
    let status = match errcode {
        "M_FORBIDDEN" | "M_INVITE_BLOCKED" | "M_USER_LIMIT_EXCEEDED" => 403,
        "M_NOT_FOUND" => 404,
        "M_UNABLE_TO_AUTHORISE_JOIN"
        | "M_UNABLE_TO_GRANT_JOIN"
        | "M_INCOMPATIBLE_ROOM_VERSION"
        | "M_UNSUPPORTED_ROOM_VERSION"
        | "M_INVALID_PARAM"
        | "M_BAD_JSON" => 400,
        _ => return Failure::new(ErrorCode::Unknown, error).with_status(502),
    };
    Failure::new(ErrorCode::from(errcode), error).with_status(status)
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
            HouseError::Purge(error) => error.into(),
            HouseError::Admin(error) => error.into(),
            HouseError::Oauth(error) => error.into(),
            HouseError::Threepid(error) => error.into(),
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
            HouseError::NoticeRoom => {
                Self::new(ErrorCode::CannotLeaveServerNoticeRoom, error.to_string())
            }
            HouseError::StillInRoom => Self::new(ErrorCode::Unknown, "you are still in this room"),
            HouseError::Unreachable(server) => {
                Self::not_found(format!("server {server} cannot be reached"))
            }
            HouseError::RefusedElsewhere { errcode, error } => elsewhere(&errcode, error),
            HouseError::TooManyActive { admin_contact } => too_many_active(admin_contact),
            HouseError::TooComplex(message) => {
                Self::new(ErrorCode::ResourceLimitExceeded, message).with_status(400)
            }
            HouseError::Busy => Self::limit_exceeded(OVERLOADED_RETRY_MS),
            HouseError::Lagging(_) => Self::busy("there is much to do, try again"),
            HouseError::Store(reason) => Self::away(reason),
            HouseError::Broken(reason) => Self::internal(reason),
        }
    }
}

/// As many users are active as may be: whoever has no place is told whom to ask.
fn too_many_active(admin_contact: Option<String>) -> Failure {
    let message = "as many users are active on this server as may be in a month";
    let failure = Failure::new(ErrorCode::ResourceLimitExceeded, message);
    let failure = failure.with("limit_type", "monthly_active_user");
    match admin_contact {
        Some(contact) => failure.with("admin_contact", contact),
        None => failure,
    }
}

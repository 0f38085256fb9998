//! Why the house refuses something that concerns more than one actor.

use playhouse_schema::port::StoreError;
use ruma::OwnedServerName;

use crate::{
    admins::AdminError,
    alias::AliasError,
    backup::BackupError,
    delays::DelayError,
    externals::ExternalError,
    followers::models::Lagging,
    joins::JoinError,
    kernel::Unavailable,
    media::MediaError,
    oauth::OauthError,
    passes::PassError,
    purges::PurgeError,
    registration::RegistrationError,
    reports::ReportError,
    room::RoomError,
    threepid::ThreepidError,
    user::{UserError, password::PasswordError},
};

/// Why the house refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HouseError {
    /// A room refuses.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// A user refuses.
    #[error(transparent)]
    User(#[from] UserError),
    /// An alias refuses.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// The key backups refuse.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A piece of media refuses.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The registration tokens refuse.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// An event that is to be sent later is refused.
    #[error(transparent)]
    Delay(#[from] DelayError),
    /// A report is refused.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A login token, code or browser session is refused.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// A purge is refused.
    #[error(transparent)]
    Purge(#[from] PurgeError),
    /// Something among administrators is refused.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// An OAuth client is refused.
    #[error(transparent)]
    Oauth(#[from] OauthError),
    /// A third-party identifier refuses.
    #[error(transparent)]
    Threepid(#[from] ThreepidError),
    /// An identity at another system is refused.
    #[error(transparent)]
    External(#[from] ExternalError),
    /// Wrong user or wrong password; which of the two is not said.
    #[error("wrong user or password")]
    BadLogin,
    /// The user name breaks the grammar of user IDs.
    #[error("{0}")]
    InvalidUsername(String),
    /// A parameter makes no sense.
    #[error("{0}")]
    InvalidParam(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The invited user does not want this invite.
    #[error("the user does not want this invite")]
    InviteBlocked {
        /// By the lists of MSC4155.
        by_list: bool,
    },
    /// The invite to the room in which the server tells its users something cannot be rejected.
    #[error("you cannot reject this invite")]
    NoticeRoom,
    /// Who is in a room cannot forget it.
    #[error("the user is still in this room")]
    StillInRoom,
    /// What is asked for lives on another server, and that one cannot be reached.
    #[error("server {0} cannot be reached")]
    Unreachable(OwnedServerName),
    /// Another server, on which it depends, refuses.
    #[error("{errcode}: {error}")]
    RefusedElsewhere {
        /// The Matrix error code.
        errcode: String,
        /// What it says.
        error: String,
    },
    /// As many users are active as may be in a month.
    #[error("as many users are active as this server permits in a month")]
    TooManyActive {
        /// Whom the refused may ask.
        admin_contact: Option<String>,
    },
    /// A room is larger than the operator lets this server join.
    #[error("{0}")]
    TooComplex(String),
    /// More than may be done at once: try again later.
    #[error("too much at once")]
    Busy,
    /// What a read model knows is older than what was acknowledged: try again.
    #[error(transparent)]
    Lagging(#[from] Lagging),
    /// The store could not be read now: the database is away, or slow.
    #[error("store: {0}")]
    Store(String),
    /// What is recorded cannot be read, or this program has a mistake: it stays so until that is repaired.
    #[error("{0}")]
    Broken(String),
}

impl From<Unavailable> for HouseError {
    fn from(error: Unavailable) -> Self {
        HouseError::User(UserError::Unavailable(error))
    }
}

impl From<JoinError> for HouseError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Unknown => RoomError::NotFound.into(),
            JoinError::Abandoned => HouseError::Forbidden(error.to_string()),
            JoinError::TooMany => HouseError::Busy,
            JoinError::Unavailable(error) => error.into(),
        }
    }
}

impl From<PasswordError> for HouseError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooLong => HouseError::InvalidParam(error.to_string()),
            PasswordError::Overloaded => HouseError::Busy,
            PasswordError::Unusable(reason) => HouseError::Broken(reason),
        }
    }
}

impl From<StoreError> for HouseError {
    fn from(error: StoreError) -> Self {
        let reason = error.to_string();
        if error.is_passing() {
            HouseError::Store(reason)
        } else {
            HouseError::Broken(reason)
        }
    }
}

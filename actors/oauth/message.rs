//! Everything about OAuth clients that can be asked.

use serde::{Deserialize, Serialize};

use crate::kernel::Unavailable;

/// What can be done with clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum OauthCommand {
    /// Register a client by what it says of itself, a JSON object. The same words get the same client. Answers its ID.
    Register(String),
    /// A user let the client in: it is kept from now on. Answers its ID.
    Admit(String),
}

/// What a command answers: the client's ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthReply(pub String);

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum OauthQuery {
    /// What a client said of itself. Answers `Client`.
    Client(String),
    /// A device without a browser asks to be let in. Answers `Asked`; refused with `TooMany`.
    AskForDevice(DeviceWish),
    /// Which device asks with the code that its user typed. Answers `Wish`.
    DeviceWish(String),
    /// The user has decided. Answers `Settled`: whether the device still waits.
    SettleDevice {
        /// The code that the user typed.
        user_code: String,
        /// The authorization code for the device; `None` when it is not let in.
        code: Option<String>,
    },
    /// The device asks what became of it. Answers `Progress`.
    PollDevice {
        /// The code that only the device knows.
        device_code: String,
        /// The client that it said it was.
        client_id: String,
    },
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OauthAnswer {
    /// A client's metadata, a JSON object.
    Client(Option<String>),
    /// The codes of a device that asks.
    Asked(DeviceCodes),
    /// What a device asks for.
    Wish(Option<DeviceWish>),
    /// Yes or no.
    Settled(bool),
    /// How far a device is.
    Progress(Progress),
}

/// What a device without a browser asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWish {
    /// The client.
    pub client_id: String,
    /// The scope.
    pub scope: String,
}

/// The codes of a device that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCodes {
    /// Known to the device only.
    pub device_code: String,
    /// To be typed by the user.
    pub user_code: String,
    /// They are good for so long, milliseconds.
    pub lifetime_ms: u64,
    /// The device waits so long between questions, milliseconds.
    pub interval_ms: u64,
}

/// How far a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// The user has not decided.
    Waiting,
    /// It asks too often.
    TooFast,
    /// The user said no.
    Denied,
    /// The user said yes: an authorization code. Told once.
    Admitted(String),
    /// Unknown, or its time is over.
    Gone,
}

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OauthError {
    /// No such client.
    #[error("unknown client")]
    Unknown,
    /// No room for more.
    #[error("too many")]
    TooMany,
    /// What a client says of itself is too long.
    #[error("too long")]
    TooLong,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

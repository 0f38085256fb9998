//! What commands about accounts, sessions and devices bring and answer.

use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::room::message::JsonText;

/// A new account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// PHC or modular-crypt string.
    pub password_hash: Option<String>,
    /// Server administrator.
    pub admin: bool,
    /// Guest.
    pub guest: bool,
    /// `bot`, `support` or nothing.
    pub user_type: Option<String>,
    /// Display name to begin with.
    pub displayname: Option<String>,
    /// Log in at once.
    pub login: Option<Login>,
    /// The version of the terms that the user accepted.
    pub terms: Option<String>,
}

/// A login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    /// Log in again on this device: its older tokens end, its keys stay.
    pub device_id: Option<OwnedDeviceId>,
    /// For a new device.
    pub display_name: Option<String>,
    /// The client can refresh tokens.
    pub refresh: bool,
    /// Access tokens of refreshing clients live so long, milliseconds.
    pub access_lifetime_ms: u64,
}

/// A session that began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoggedIn {
    /// The access token. Made by [`super::token`], so that its owner can be read from it.
    pub access_token: String,
    /// The refresh token, when asked.
    pub refresh_token: Option<String>,
    /// The access token's lifetime, when it ends.
    pub expires_in_ms: Option<u64>,
    /// The device.
    pub device_id: OwnedDeviceId,
}

/// A device was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceSighting {
    /// Which.
    pub device_id: OwnedDeviceId,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// From which address.
    pub address: String,
    /// The User-Agent header.
    pub user_agent: String,
}

/// The end of a sending to devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendToDevice {
    /// The device; absent for an application service without one, whose transactions are not remembered.
    pub device_id: Option<OwnedDeviceId>,
    /// Endpoint name, slash, transaction ID.
    pub transaction_id: String,
    /// What tells the sending from others of this user.
    pub message_id: String,
    /// The event type.
    pub event_type: String,
    /// User of another server, device ID or `*`, and content.
    pub remote: Vec<(OwnedUserId, String, JsonText)>,
}

/// A place in a device's to-device messages: the user's record that queued them, and how many of that record's messages for the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ToDeviceIndex {
    /// All messages of records up to this sequence …
    pub sequence: u64,
    /// … and so many of the next one's.
    pub partial: u64,
}

//! Records of another server's user: the devices that it is known to have.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};
use crate::address::Sequence;

/// What is learnt of another server's user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerUserRecord {
    /// The whole list of devices was fetched.
    #[serde(rename = "f")]
    DevicesFetched(FetchedDevices),
    /// A device came, changed or went.
    #[serde(rename = "d")]
    DeviceChanged(PeerDeviceChanged),
    /// The cross-signing keys changed.
    #[serde(rename = "k")]
    SigningKeysChanged(PeerSigningKeys),
    /// Something changed, but what is known does not tell what: the list must be fetched again.
    #[serde(rename = "o")]
    Outdated(Outdated),
}

/// A list of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedDevices {
    /// Which state of the list this is, by the word of the user's server.
    pub stream_id: u64,
    /// The devices with keys.
    pub devices: Vec<PeerDevice>,
    /// The cross-signing keys.
    pub keys: PeerSigningKeys,
    /// For as long as this holds, the user's server tells of changes.
    pub witness: SharedRoom,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerDevice {
    /// Its ID.
    pub device_id: String,
    /// Its `device_keys` object, with `unsigned.device_display_name`: JSON.
    pub keys: String,
}

/// Cross-signing keys, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSigningKeys {
    /// The master key.
    pub master: Option<String>,
    /// The self-signing key.
    pub self_signing: Option<String>,
}

/// That the user and a local one are in a room together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRoom {
    /// The room.
    pub room_id: String,
    /// Since which of the room's records the user is joined.
    pub since: Sequence,
    /// The local user.
    pub local_user_id: String,
    /// Since which of the room's records the local user is joined.
    pub local_since: Sequence,
}

/// A change of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerDeviceChanged {
    /// The state of the list that this leads to.
    pub stream_id: u64,
    /// Which device.
    pub device_id: String,
    /// Its keys; `None` when it is gone, or has none.
    pub keys: Option<String>,
}

/// A list is out of date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outdated {
    /// Since when, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for PeerUserRecord {
    fn kind(&self) -> Kind {
        match self {
            PeerUserRecord::DevicesFetched(_) => 830,
            PeerUserRecord::DeviceChanged(_) => 831,
            PeerUserRecord::SigningKeysChanged(_) => 832,
            PeerUserRecord::Outdated(_) => 833,
        }
    }
}

//! What commands about keys bring and answer.

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::error::UserError;
use crate::room::message::JsonText;

/// Keys of a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UploadKeys {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// `device_keys` object.
    pub device_keys: Option<JsonText>,
    /// Key ID with algorithm, and key; in upload order.
    pub one_time_keys: Vec<(String, JsonText)>,
    /// Key ID with algorithm, and key.
    pub fallback_keys: Vec<(String, JsonText)>,
}

/// A dehydrated device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetDehydratedDevice {
    /// Its name.
    pub display_name: Option<String>,
    /// The `device_data` object.
    pub data: JsonText,
    /// Its ID and keys; identity keys must be among them.
    pub keys: UploadKeys,
}

/// Cross-signing keys; those left out stay as they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UploadSigningKeys {
    /// Master key.
    pub master: Option<JsonText>,
    /// Self-signing key.
    pub self_signing: Option<JsonText>,
    /// User-signing key.
    pub user_signing: Option<JsonText>,
    /// The caller proved again who it is.
    pub proven: bool,
}

/// Signatures made by clients of the user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AddSignatures {
    /// Whose key, device ID or public key, and the key as signed.
    pub signed: Vec<(OwnedUserId, String, JsonText)>,
    /// The master keys of the other users among them, as far as they are known.
    pub masters: BTreeMap<OwnedUserId, JsonText>,
}

/// A signature that was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFailure {
    /// Whose key.
    pub user_id: OwnedUserId,
    /// Device ID or public key.
    pub key_id: String,
    /// Why.
    pub error: UserError,
}

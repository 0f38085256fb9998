//! What a user answers to queries.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use playhouse_schema::{
    address::{Position, Sequence},
    record::user::{RateOverride, TermsAccepted},
};
use ruma::{
    OwnedDeviceId, OwnedRoomId, OwnedUserId, events::room::member::MembershipState,
    presence::PresenceState, push::Ruleset,
};
use serde::{Deserialize, Serialize};

use super::{
    grants::TokenGrant, hidden_invites::HiddenInvites, invite_filter::InviteVerdict,
    message::ToDeviceIndex, pushers::PusherBook, sliding::threads::ThreadChanges,
};
use crate::{env::JsonObject, kernel::parcel::json_text, room::message::JsonText};

/// What a query answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UserAnswer {
    /// See [`UserQuery::Authenticate`].
    Session(Session),
    /// See [`UserQuery::Account`].
    Account(Account),
    /// The account; and `false` when there is no device of the name.
    Acting(Account, bool),
    /// See [`UserQuery::Grant`](super::UserQuery::Grant); `None` when no such tokens are in force.
    Grant(Option<TokenGrant>),
    /// See [`UserQuery::Devices`].
    Devices(Vec<Device>),
    /// Field names and JSON values, sorted by name.
    Profile(Vec<(String, JsonText)>),
    /// A JSON object.
    Json(JsonText),
    /// Account data: the room (or global), the type, the content.
    AllData(Vec<(Option<OwnedRoomId>, String, JsonText)>),
    /// A name that tells the transaction from all others of this user; `None` once it is done.
    Transaction(Option<String>),
    /// Yes or no.
    Flag(bool),
    /// See [`UserQuery::IdentityKeys`](super::UserQuery::IdentityKeys).
    IdentityKeys(Box<IdentityKeys>),
    /// The dehydrated device, and its `device_data` object.
    Dehydrated(OwnedDeviceId, JsonText),
    /// To-device messages, and where to go on.
    ToDevice(Vec<JsonText>, ToDeviceIndex),
    /// Whose key, its ID, and a `signatures` object.
    Signatures(Vec<(OwnedUserId, String, JsonText)>),
    /// Room and membership; forgotten ones left out.
    Rooms(Vec<(OwnedRoomId, MembershipState)>),
    /// Users whose events this user does not want to see; and up to which of the user's member events the room is forgotten.
    Reading(Vec<OwnedUserId>, Option<Sequence>),
    /// See [`UserQuery::JudgeInvite`](super::UserQuery::JudgeInvite).
    Invite(InviteVerdict),
    /// See [`UserQuery::HiddenInvites`](super::UserQuery::HiddenInvites).
    HiddenInvites(HiddenInvites),
    /// Push rules in force, and users whose events are not wanted.
    Judging(
        #[serde(with = "json_text")] Arc<Ruleset>,
        Arc<BTreeSet<OwnedUserId>>,
    ),
    /// Pushers, as JSON objects.
    Pushers(Vec<JsonText>),
    /// See [`UserQuery::PusherBook`](super::UserQuery::PusherBook).
    PusherBook(Box<PusherBook>),
    /// See [`UserQuery::ThreadSubscription`].
    ThreadSubscription {
        /// A client has subscribed by itself.
        automatic: bool,
    },
    /// See [`UserQuery::ThreadChanges`].
    ThreadChanges(ThreadChanges),
    /// Some users.
    Users(Vec<OwnedUserId>),
    /// See [`UserQuery::Presence`].
    Presence(Presence),
    /// See [`UserQuery::FeedPlace`](super::UserQuery::FeedPlace); `None` while nobody syncs.
    FeedPlace(Option<FeedPlace>),
    /// The complete body of a sync answer.
    Synced(Bytes),
    /// Users whose keys changed, and users no longer shared.
    KeyChanges {
        /// Changed.
        changed: Vec<OwnedUserId>,
        /// No longer shared.
        left: Vec<OwnedUserId>,
    },
}

/// How far a user has heard of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedPlace {
    /// Everything of the room's shard that concerns the user was heard of up to this position.
    pub known: Position,
    /// The newest position of the room that concerns the user; 0 where it is no room of the user.
    pub newest: Position,
}

/// Identity keys of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityKeys {
    /// Device ID and `device_keys` object with `unsigned.device_display_name`.
    pub devices: Vec<(OwnedDeviceId, JsonText)>,
    /// Master key.
    pub master: Option<JsonText>,
    /// Self-signing key.
    pub self_signing: Option<JsonText>,
    /// User-signing key: for the user itself only.
    pub user_signing: Option<JsonText>,
}

impl IdentityKeys {
    /// The same without the names of devices.
    pub(crate) fn without_names(mut self) -> Self {
        for (_, keys) in &mut self.devices {
            *keys = without_name(keys);
        }
        self
    }
}

/// A `device_keys` object without the device's name.
pub(crate) fn without_name(keys: &str) -> JsonText {
    let Ok(mut object) = serde_json::from_str::<JsonObject>(keys) else {
        return keys.to_owned();
    };
    // Nothing else stands there.
    object.remove("unsigned");
    serde_json::Value::Object(object).to_string()
}

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device; absent for an application service without one.
    pub device_id: Option<OwnedDeviceId>,
    /// Server administrator.
    pub admin: bool,
    /// Guest.
    pub guest: bool,
    /// Suspended: may read, not write.
    pub suspended: bool,
    /// Locked: may log out, nothing else.
    pub locked: bool,
    /// Until when the token is valid, milliseconds since the Unix epoch.
    pub expires_ms: Option<u64>,
    /// The account ends then, milliseconds since the Unix epoch, where accounts end.
    pub valid_until_ms: Option<u64>,
    /// What the user sends looks sent, and reaches nobody.
    pub shadow_banned: bool,
    /// How fast requests may come, where that is not as for everybody.
    pub rate: Option<RateOverride>,
    /// The first use of this token must be told with [`UserCommand::ConfirmRefresh`].
    pub confirms_refresh: bool,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user.
    pub user_id: OwnedUserId,
    /// When it began, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// PHC or modular-crypt string.
    pub password_hash: Option<String>,
    /// Server administrator.
    pub admin: bool,
    /// Guest.
    pub guest: bool,
    /// Locked.
    pub locked: bool,
    /// Suspended.
    pub suspended: bool,
    /// Closed.
    pub deactivated: bool,
    /// Ends then, milliseconds since the Unix epoch, where accounts end.
    pub valid_until_ms: Option<u64>,
    /// `bot`, `support` or nothing.
    pub user_type: Option<String>,
    /// New readers get the user's events in pruned form.
    pub erased: bool,
    /// What the user sends reaches nobody.
    pub shadow_banned: bool,
    /// How fast requests may come, where that is not as for everybody.
    pub rate: Option<RateOverride>,
    /// The terms that were accepted last.
    pub terms: Option<TermsAccepted>,
    /// When it was last opened again after it was closed, milliseconds since the Unix epoch.
    #[serde(default)]
    pub reopened_ms: Option<u64>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its ID.
    pub device_id: OwnedDeviceId,
    /// Its name.
    pub display_name: Option<String>,
    /// Last seen, milliseconds since the Unix epoch.
    pub last_seen_ms: Option<u64>,
    /// From which address.
    pub last_seen_address: Option<String>,
    /// With which User-Agent header.
    pub user_agent: Option<String>,
    /// It is the user's dehydrated device.
    pub dehydrated: bool,
}

/// Presence of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// State.
    pub presence: PresenceState,
    /// Text.
    pub status_msg: Option<String>,
    /// Last activity, milliseconds since the Unix epoch.
    pub active_ms: u64,
    /// Active right now.
    pub currently_active: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_its_name_keeps_its_keys() {
        let named = r#"{"device_id":"D","keys":{"a":"b"},"unsigned":{"device_display_name":"x"}}"#;
        let keys = IdentityKeys {
            devices: vec![("D".into(), named.to_owned())],
            ..IdentityKeys::default()
        };
        let keys = keys.without_names();
        assert_eq!(keys.devices[0].1, r#"{"device_id":"D","keys":{"a":"b"}}"#);
    }
}

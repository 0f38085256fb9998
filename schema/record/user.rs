//! Records of a local user.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use super::account::{Deactivated, Registered, Reopened};
pub use super::invites::{HiddenInvite, InvitesHidden};
pub use super::push::{PushFailed, Pushed, PusherRejected, PushesSettled, PushesWait, RoomMailed};
pub use super::sliding::{
    SlidingRoomKept, SlidingSyncKept, SlidingTold, SlidingWish, ThreadSubscriptionSet,
};
pub use super::standing::{RateOverride, TermsAccepted};
pub use super::validity::{RenewalMailed, ValiditySet};
use super::{Kind, codec::Record};
use crate::address::Sequence;

/// What happens to a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum UserRecord {
    /// The account was made.
    #[serde(rename = "r")]
    Registered(Registered),
    /// The password changed; `None` removes it.
    #[serde(rename = "pw")]
    PasswordSet(Option<String>),
    /// The account was closed.
    #[serde(rename = "x")]
    Deactivated(Deactivated),
    /// A closed account was opened again, with nothing of what it held.
    #[serde(rename = "re")]
    Reopened(Reopened),
    /// Locked or unlocked.
    #[serde(rename = "lk")]
    LockSet(bool),
    /// Suspended or resumed.
    #[serde(rename = "su")]
    SuspensionSet(bool),
    /// Made or unmade a server administrator.
    #[serde(rename = "ad")]
    AdminSet(bool),
    /// A device logged in, or logged in again.
    #[serde(rename = "di")]
    DeviceAdded(DeviceAdded),
    /// A device got another name.
    #[serde(rename = "dn")]
    DeviceRenamed(DeviceRenamed),
    /// A device was removed with its tokens, keys and to-device messages.
    #[serde(rename = "dx")]
    DeviceRemoved(String),
    /// When and from where devices were last seen; written now and then.
    #[serde(rename = "ds")]
    DevicesSeen(Vec<DeviceSeen>),
    /// An access token (and perhaps a refresh token) was given out.
    #[serde(rename = "ti")]
    TokenIssued(TokenIssued),
    /// Tokens ended, by their hash.
    #[serde(rename = "tr")]
    TokensRevoked(Vec<ByteBuf>),
    /// A profile field changed; `None` removes it. The value is JSON.
    #[serde(rename = "pf")]
    ProfileFieldSet(NamedJson),
    /// Global account data changed; `None` removes it.
    #[serde(rename = "ac")]
    AccountDataSet(NamedJson),
    /// Account data of a room changed; `None` removes it. Tags and read markers too.
    #[serde(rename = "ra")]
    RoomAccountDataSet(RoomAccountDataSet),
    /// A filter was stored: its ID is the count of filters before it.
    #[serde(rename = "fi")]
    FilterStored(ByteBuf),
    /// A room was forgotten up to a member event: who comes in again and leaves again has not forgotten that.
    #[serde(rename = "fo")]
    RoomForgotten(RoomForgotten),
    /// A device published its keys.
    #[serde(rename = "dk")]
    DeviceKeysSet(DeviceKeysSet),
    /// A device added one-time keys.
    #[serde(rename = "ok")]
    OneTimeKeysAdded(OneTimeKeysAdded),
    /// A device replaced fallback keys.
    #[serde(rename = "fk")]
    FallbackKeysSet(OneTimeKeysAdded),
    /// Keys were given out. Fallback keys stay, marked used.
    #[serde(rename = "kc")]
    KeysClaimed(Vec<KeyClaimed>),
    /// Cross-signing keys were replaced.
    #[serde(rename = "cs")]
    CrossSigningKeysSet(CrossSigningKeysSet),
    /// Signatures were added to own devices or keys, or to other users' master keys.
    #[serde(rename = "sg")]
    SignaturesAdded(Vec<SignedKey>),
    /// To-device messages arrived for devices of this user.
    #[serde(rename = "td")]
    ToDeviceQueued(Vec<ToDevice>),
    /// A device has acknowledged to-device messages up to an index (inclusive).
    #[serde(rename = "ta")]
    ToDeviceAcknowledged(ToDeviceAcknowledged),
    /// Presence worth keeping (at most once a minute).
    #[serde(rename = "pr")]
    PresenceKept(PresenceKept),
    /// A client's transaction was carried out (sendToDevice).
    #[serde(rename = "tx")]
    TransactionDone(TransactionDone),
    /// As [`UserRecord::ToDeviceQueued`], from a sending that may be repeated: it is taken in once.
    #[serde(rename = "tdo")]
    ToDeviceReceived(ToDeviceReceived),
    /// This user sent to-device messages to users of other servers, which wait here for whoever carries them there: a follower of these records, with a
    /// position of its own.
    #[serde(rename = "tds")]
    ToDeviceSent(ToDeviceSent),
    /// A device that was just added is the user's dehydrated one.
    #[serde(rename = "dd")]
    DehydratedDeviceSet(DehydratedDeviceSet),
    /// One-time keys that waited will not be given out any more: they may have been by a life of the database that is gone.
    #[serde(rename = "od")]
    OneTimeKeysDropped(String),
    /// A pusher was set, or changed.
    #[serde(rename = "pu")]
    PusherSet(PusherSet),
    /// A pusher was removed. Those of a device that is removed go with it.
    #[serde(rename = "px")]
    PusherRemoved(PusherNamed),
    /// A push gateway took pushes.
    #[serde(rename = "pd")]
    Pushed(Pushed),
    /// An attempt to push, or to mail, failed.
    #[serde(rename = "pe")]
    PushFailed(PushFailed),
    /// Something waits for a pusher that was up to date.
    #[serde(rename = "pq")]
    PushesWait(PushesWait),
    /// Nothing waits for a pusher any more.
    #[serde(rename = "pz")]
    PushesSettled(PushesSettled),
    /// A pusher was removed, and not by its user.
    #[serde(rename = "pj")]
    PusherRejected(PusherRejected),
    /// What a connection of sliding sync has been told of which rooms.
    #[serde(rename = "ss")]
    SlidingSyncKept(SlidingSyncKept),
    /// A thread was subscribed to or unsubscribed from.
    #[serde(rename = "th")]
    ThreadSubscriptionSet(ThreadSubscriptionSet),
    /// Until when the account holds.
    #[serde(rename = "va")]
    ValiditySet(ValiditySet),
    /// The user was mailed how to renew the account.
    #[serde(rename = "vm")]
    RenewalMailed(RenewalMailed),
    /// It is another sort of account: `bot`, `support` or nothing.
    #[serde(rename = "ut")]
    UserTypeSet(Option<String>),
    /// What the user sends reaches nobody, or does again.
    #[serde(rename = "sb")]
    ShadowBanSet(bool),
    /// How fast requests of the user may come; `None` as those of everybody.
    #[serde(rename = "ro")]
    RateOverrideSet(Option<RateOverride>),
    /// The user accepted the terms.
    #[serde(rename = "te")]
    TermsAccepted(TermsAccepted),
    /// A moderator took invites out of the user's sight.
    #[serde(rename = "ih")]
    InvitesHidden(InvitesHidden),
    /// The invites that this run of a policy hides are shown again.
    #[serde(rename = "iv")]
    InvitesShown(Sequence),
    /// What stood here is erased. Never written as a record of its own: the record keeps the kind that it had.
    #[serde(rename = "er")]
    Erased,
}

/// The kind of [`UserRecord::AccountDataSet`].
pub const ACCOUNT_DATA_SET: Kind = 513;

/// The kind of [`UserRecord::PusherSet`].
pub const PUSHER_SET: Kind = 531;

/// The kind of [`UserRecord::Pushed`].
pub const PUSHED: Kind = 533;

/// The kind of [`UserRecord::PushesSettled`].
pub const PUSHES_SETTLED: Kind = 536;

/// The kind of [`UserRecord::Deactivated`].
pub const DEACTIVATED: Kind = 502;

/// The kind of [`UserRecord::Reopened`].
pub const REOPENED: Kind = 551;

impl Record for UserRecord {
    fn kind(&self) -> Kind {
        match self {
            UserRecord::Registered(_) => 500,
            UserRecord::PasswordSet(_) => 501,
            UserRecord::Deactivated(_) => DEACTIVATED,
            UserRecord::LockSet(_) => 503,
            UserRecord::SuspensionSet(_) => 504,
            UserRecord::AdminSet(_) => 505,
            UserRecord::DeviceAdded(_) => 506,
            UserRecord::DeviceRenamed(_) => 507,
            UserRecord::DeviceRemoved(_) => 508,
            UserRecord::DevicesSeen(_) => 509,
            UserRecord::TokenIssued(_) => 510,
            UserRecord::TokensRevoked(_) => 511,
            UserRecord::ProfileFieldSet(_) => 512,
            UserRecord::AccountDataSet(_) => ACCOUNT_DATA_SET,
            UserRecord::RoomAccountDataSet(_) => 514,
            UserRecord::FilterStored(_) => 515,
            UserRecord::RoomForgotten(_) => 516,
            UserRecord::DeviceKeysSet(_) => 517,
            UserRecord::OneTimeKeysAdded(_) => 518,
            UserRecord::FallbackKeysSet(_) => 519,
            UserRecord::KeysClaimed(_) => 520,
            UserRecord::CrossSigningKeysSet(_) => 521,
            UserRecord::SignaturesAdded(_) => 522,
            UserRecord::ToDeviceQueued(_) => 523,
            UserRecord::ToDeviceAcknowledged(_) => 524,
            UserRecord::PresenceKept(_) => 525,
            UserRecord::TransactionDone(_) => 526,
            UserRecord::DehydratedDeviceSet(_) => 527,
            UserRecord::OneTimeKeysDropped(_) => 528,
            UserRecord::ToDeviceReceived(_) => 529,
            UserRecord::ToDeviceSent(_) => 530,
            UserRecord::PusherSet(_) => PUSHER_SET,
            UserRecord::PusherRemoved(_) => 532,
            UserRecord::Pushed(_) => PUSHED,
            UserRecord::PushFailed(_) => 534,
            UserRecord::PushesWait(_) => 535,
            UserRecord::PushesSettled(_) => PUSHES_SETTLED,
            UserRecord::PusherRejected(_) => 537,
            UserRecord::SlidingSyncKept(_) => 540,
            UserRecord::ThreadSubscriptionSet(_) => 541,
            UserRecord::InvitesHidden(_) => 542,
            UserRecord::InvitesShown(_) => 543,
            UserRecord::ValiditySet(_) => 545,
            UserRecord::RenewalMailed(_) => 546,
            UserRecord::UserTypeSet(_) => 547,
            UserRecord::ShadowBanSet(_) => 548,
            UserRecord::RateOverrideSet(_) => 549,
            UserRecord::TermsAccepted(_) => 550,
            UserRecord::Reopened(_) => REOPENED,
            UserRecord::Erased => 599,
        }
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAdded {
    /// Its ID.
    pub device_id: String,
    /// Its display name.
    pub display_name: Option<String>,
}

/// A device's new name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRenamed {
    /// Its ID.
    pub device_id: String,
    /// Its display name.
    pub display_name: Option<String>,
}

/// A device's last sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeen {
    /// Its ID.
    pub device_id: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// From which address.
    pub address: String,
    /// The User-Agent header, cut to 200 bytes.
    pub user_agent: String,
}

/// Tokens given out. Only their SHA-256 is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenIssued {
    /// The device it belongs to.
    pub device_id: String,
    /// SHA-256 of the access token.
    pub access_hash: ByteBuf,
    /// Until when it is valid, milliseconds since the Unix epoch; `None` until it is revoked.
    pub expires_ms: Option<u64>,
    /// SHA-256 of the refresh token.
    pub refresh_hash: Option<ByteBuf>,
    /// Until when the refresh token is valid.
    pub refresh_expires_ms: Option<u64>,
    /// SHA-256 of the refresh token that was exchanged for these; it ends when one of these is first used.
    pub replaces_refresh_hash: Option<ByteBuf>,
    /// The OAuth client to which they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// A pusher as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PusherSet {
    /// The application.
    pub app_id: String,
    /// The key under which the application is reached.
    pub pushkey: String,
    /// The device that has set it, with which it ends.
    pub device_id: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// All of it as JSON, as it is told to clients.
    pub json: ByteBuf,
}

/// A pusher's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PusherNamed {
    /// The application.
    pub app_id: String,
    /// The key under which the application is reached.
    pub pushkey: String,
}

/// A name and a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedJson {
    /// Field name or account data type.
    pub name: String,
    /// JSON text; `None` removes it.
    pub json: Option<ByteBuf>,
}

/// Account data of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomAccountDataSet {
    /// The room.
    pub room_id: String,
    /// Type and content.
    pub data: NamedJson,
}

/// A device's identity keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKeysSet {
    /// The device.
    pub device_id: String,
    /// The `device_keys` object as JSON.
    pub json: ByteBuf,
}

/// One-time or fallback keys of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKeysAdded {
    /// The device.
    pub device_id: String,
    /// In upload order: key ID with its algorithm (`signed_curve25519:AAAA`) and the key as JSON.
    pub keys: Vec<(String, ByteBuf)>,
}

/// A key given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyClaimed {
    /// The device.
    pub device_id: String,
    /// Key ID with its algorithm.
    pub key_id: String,
    /// It was the fallback key.
    pub fallback: bool,
}

/// Cross-signing keys, each as JSON; `None` leaves the one there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossSigningKeysSet {
    /// Master key.
    pub master: Option<ByteBuf>,
    /// Self-signing key.
    pub self_signing: Option<ByteBuf>,
    /// User-signing key.
    pub user_signing: Option<ByteBuf>,
}

/// Signatures added to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedKey {
    /// Whose key.
    pub user_id: String,
    /// Device ID, or the public key of a cross-signing key.
    pub key_id: String,
    /// The `signatures` object of the upload, as JSON.
    pub signatures: ByteBuf,
}

/// One to-device message for one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDevice {
    /// For which device.
    pub device_id: String,
    /// The event (`type`, `sender`, `content`) as JSON.
    pub json: ByteBuf,
}

/// A room was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomForgotten {
    /// Which.
    pub room_id: String,
    /// The user's member event that was in force, by its number among the room's records.
    pub until: Sequence,
}

/// To-device messages of one sending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDeviceReceived {
    /// What tells the sending from all others: the beginning of the SHA-256 of sender and message ID, 16 bytes.
    pub origin: ByteBuf,
    /// What it brought.
    pub messages: Vec<ToDevice>,
}

/// To-device messages for users of other servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDeviceSent {
    /// From which device.
    pub device_id: Option<String>,
    /// What tells the sending from others of this user: fit for the EDU's `message_id`.
    pub message_id: String,
    /// The event type.
    pub event_type: String,
    /// For whom.
    pub messages: Vec<RemoteToDevice>,
}

/// One to-device message for one device, or `*`, of a user of another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteToDevice {
    /// For whom.
    pub user_id: String,
    /// For which device; `*` for all.
    pub device_id: String,
    /// The content as JSON.
    pub content: ByteBuf,
}

/// To-device messages were delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDeviceAcknowledged {
    /// Which device.
    pub device_id: String,
    /// All messages queued by records up to this sequence of the user, inclusive, …
    pub sequence: u64,
    /// … and of the record after it, so many of this device's messages.
    pub partial: u64,
}

/// Presence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceKept {
    /// `online`, `unavailable` or `offline`.
    pub presence: String,
    /// The status text.
    pub status_msg: Option<String>,
    /// Last activity, milliseconds since the Unix epoch.
    pub active_ms: u64,
}

/// A transaction of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionDone {
    /// From which device.
    pub device_id: String,
    /// The transaction ID, preceded by the name of the endpoint and a slash.
    pub transaction_id: String,
}

/// A dehydrated device: it collects keys for the user while none of the others is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DehydratedDeviceSet {
    /// Which device.
    pub device_id: String,
    /// The `device_data` object as JSON.
    pub data: ByteBuf,
}

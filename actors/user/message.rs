//! Everything a user can be asked.

use std::sync::{Arc, OnceLock};

use playhouse_schema::{
    address::{Position, Sequence, Shard},
    record::user::UserRecord,
};
use ruma::{
    OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId,
    events::{AnySyncTimelineEvent, room::member::MembershipState},
    presence::PresenceState,
    push::FlattenedJson,
    serde::Raw,
};
use serde::{Deserialize, Serialize};

pub use super::feed::FeedSignal;
use crate::room::{event::RoomEvent, message::JsonText};

pub use super::answer::{Account, Device, IdentityKeys, Presence, Session, UserAnswer};
pub use super::key_messages::{
    AddSignatures, SetDehydratedDevice, SignatureFailure, UploadKeys, UploadSigningKeys,
};
use super::push_rule_change::PushRuleChange;

/// What a user can be told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UserCommand {
    /// Begin to exist. Refused with `UserInUse` when the name was ever taken. Answers `LoggedIn` when `login` is given, else `Done`.
    Register(Box<Register>),
    /// Log in, the caller having checked password or other proof. Answers `LoggedIn`.
    Login(Login),
    /// Exchange a refresh token. Answers `LoggedIn`. The old refresh token stays usable until the new access or refresh token is used.
    Refresh {
        /// The refresh token.
        refresh_token: String,
    },
    /// A token that replaced a refresh token was used for the first time: the replaced one ends. Answers `Done`.
    ConfirmRefresh {
        /// SHA-256 of the access token that was used.
        access_hash: Vec<u8>,
    },
    /// End the tokens of devices and the devices with their keys and to-device messages. Unknown ones are skipped. Answers `Done`.
    RemoveDevices {
        /// Which.
        device_ids: Vec<OwnedDeviceId>,
    },
    /// As `RemoveDevices` for all, but for one if given. Answers `Done`.
    RemoveAllDevices {
        /// The one that stays.
        except: Option<OwnedDeviceId>,
    },
    /// Rename a device. Answers `Done`.
    RenameDevice {
        /// Which.
        device_id: OwnedDeviceId,
        /// New name; `None` leaves it as it is.
        display_name: Option<String>,
    },
    /// When and from where devices were seen. Answers `Done`.
    NoteDevicesSeen(Vec<DeviceSighting>),
    /// Change the password. Answers `Done`.
    SetPassword {
        /// The hash; `None` makes password login impossible.
        password_hash: Option<String>,
        /// End all sessions but that of this device.
        logout_except: Option<Option<OwnedDeviceId>>,
    },
    /// Close the account for ever: sessions, keys, profile, pushers end. Answers `Done`. Leaving rooms follows from the log.
    Deactivate {
        /// New readers get the user's events in pruned form.
        erase: bool,
    },
    /// Replace records of an account that was closed with the wish to be erased, by number. Answers `Done`.
    EraseHistory(Vec<(Sequence, UserRecord)>),
    /// Lock or unlock. Answers `Done`.
    SetLocked(bool),
    /// Suspend or resume. Answers `Done`.
    SetSuspended(bool),
    /// Make or unmake an administrator. Answers `Done`.
    SetAdmin(bool),
    /// Set or remove a profile field (client-server API, "Profiles"; 64 KiB in all, 255 bytes a name). Answers `Done`.
    SetProfileField {
        /// `displayname`, `avatar_url`, `m.tz` or another.
        name: String,
        /// JSON value; `None` removes it.
        value: Option<JsonText>,
    },
    /// Set account data, global or of a room; `None` removes it. Answers `Done`.
    SetAccountData {
        /// The room, or global.
        room_id: Option<OwnedRoomId>,
        /// Type.
        event_type: String,
        /// Content.
        content: Option<JsonText>,
    },
    /// Change the push rules. Refused with `Misplaced` when the place of a rule makes no sense. Answers `Done`.
    ChangePushRules(Box<PushRuleChange>),
    /// Set a pusher, or change one with the same application and key. Answers `Done`.
    SetPusher {
        /// All of it, as it is told to clients.
        pusher: JsonText,
        /// The device that sets it, with which it ends.
        device_id: Option<OwnedDeviceId>,
    },
    /// Remove a pusher, if it is there. Answers `Done`.
    RemovePusher {
        /// The application.
        app_id: String,
        /// The key under which the application is reached.
        pushkey: String,
    },
    /// Set or remove a tag of a room. Answers `Done`.
    SetTag {
        /// The room.
        room_id: OwnedRoomId,
        /// The tag.
        tag: String,
        /// Content (with `order`); `None` removes it.
        content: Option<JsonText>,
    },
    /// Take tags, direct chats and push rules along from a room into the one that replaces it. Answers `Done`.
    InheritRoom {
        /// The old room.
        from: OwnedRoomId,
        /// The new one.
        to: OwnedRoomId,
    },
    /// Store a filter. Answers `FilterId`; the same filter gets the same ID.
    StoreFilter(JsonText),
    /// Forget a room; the caller has made sure that the user is not in it. Answers `Done`.
    ForgetRoom {
        /// Which.
        room_id: OwnedRoomId,
        /// The user's member event in force, by its number among the room's records.
        until: Sequence,
    },
    /// Publish keys of a device. Answers `KeyCounts`.
    UploadKeys(Box<UploadKeys>),
    /// Publish cross-signing keys. Refused with `ProofNeeded` when keys that are there would change and the caller proved nothing. Answers `Done`.
    UploadSigningKeys(Box<UploadSigningKeys>),
    /// Take in signatures on keys. Answers `SignatureFailures`.
    AddSignatures(Box<AddSignatures>),
    /// Put a dehydrated device in the place of the one there was. Answers `Done`.
    SetDehydratedDevice(Box<SetDehydratedDevice>),
    /// Remove the dehydrated device; `NotFound` when there is none. Answers `DeviceId`.
    RemoveDehydratedDevice,
    /// Give out no more of a device's one-time keys that wait: the client knows of records that this database lacks. Answers `Done`.
    DropOneTimeKeys(OwnedDeviceId),
    /// Give out one-time keys, or the fallback key when none is left. Answers `Claimed`.
    ClaimKeys(Vec<(OwnedDeviceId, String)>),
    /// Take in to-device messages from a sender. Answers `Done`. Bounded per device.
    QueueToDevice {
        /// What tells the sending from others of the same sender: a repeat brings nothing. `None` is never a repeat.
        message_id: Option<String>,
        /// The sender.
        sender: OwnedUserId,
        /// Event type.
        event_type: String,
        /// Device ID or `*`, and content.
        messages: Vec<(String, JsonText)>,
    },
    /// Remember that a transaction of a device is done. Answers `Done`.
    NoteTransaction {
        /// The device.
        device_id: OwnedDeviceId,
        /// Endpoint name, slash, transaction ID.
        transaction_id: String,
    },
    /// As `NoteTransaction` for a sending to devices, and keep its messages to users of other servers: both or neither, once. Answers `Done`.
    SendToDevice(Box<SendToDevice>),
    /// Delete to-device messages that a sync has delivered. Answers `Done`.
    AcknowledgeToDevice {
        /// The device.
        device_id: OwnedDeviceId,
        /// Up to this index.
        until: ToDeviceIndex,
    },
    /// Set the presence by hand (`PUT /presence`); kept at most once a minute. Answers `Done`.
    SetPresence {
        /// State.
        presence: PresenceState,
        /// Text.
        status_msg: Option<String>,
    },
}

/// What a command answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UserReply {
    /// It is done.
    Done,
    /// A session began.
    LoggedIn(LoggedIn),
    /// A filter's ID.
    FilterId(String),
    /// One-time keys left per algorithm.
    KeyCounts(Vec<(String, u64)>),
    /// Keys given out: device, key ID with algorithm, key as JSON.
    Claimed(Vec<(OwnedDeviceId, String, JsonText)>),
    /// A device.
    DeviceId(OwnedDeviceId),
    /// Signatures that were not taken in.
    SignatureFailures(Vec<SignatureFailure>),
}

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

/// What a user can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UserQuery {
    /// Whose token this is. Answers `Session`.
    Authenticate {
        /// The access token.
        access_token: String,
    },
    /// The account. Answers `Account`.
    Account,
    /// All devices, or one. Answers `Devices`.
    Devices {
        /// Only this one (`NotFound` when there is none).
        device_id: Option<OwnedDeviceId>,
    },
    /// The profile, or one field of it. Answers `Profile`.
    Profile,
    /// Account data. Answers `Json`.
    AccountData {
        /// The room, or global.
        room_id: Option<OwnedRoomId>,
        /// Type.
        event_type: String,
    },
    /// A stored filter. Answers `Json`.
    Filter(String),
    /// Whether a transaction of a device is done, and its name. Answers `Transaction`.
    TransactionDone {
        /// The device.
        device_id: OwnedDeviceId,
        /// Endpoint name, slash, transaction ID.
        transaction_id: String,
    },
    /// Cross-signing keys, and keys of devices; of all when none is named. Answers `IdentityKeys`.
    IdentityKeys(Vec<OwnedDeviceId>),
    /// The dehydrated device; `NotFound` when there is none. Answers `Dehydrated`.
    DehydratedDevice,
    /// Messages that wait for the dehydrated device, after an index. Answers `ToDevice`.
    DehydratedEvents {
        /// Must be the dehydrated device.
        device_id: OwnedDeviceId,
        /// What the last answer said; the beginning at first.
        after: ToDeviceIndex,
        /// At most so many.
        limit: usize,
    },
    /// What this user signed of the keys of others. Answers `Signatures`.
    SignaturesOn(Vec<OwnedUserId>),
    /// Rooms the user is in, by membership. Answers `Rooms`.
    Rooms,
    /// What of a room's history the user wants to see. Answers `Reading`.
    Reading(OwnedRoomId),
    /// Where the user is told of notifications. Answers `Pushers`.
    Pushers,
    /// Presence. Answers `Presence`.
    Presence,
    /// A sync; waits up to its timeout. Answers `Synced`.
    Sync(Box<SyncQuery>),
    /// What `GET /keys/changes` tells between two tokens. Answers `KeyChanges`.
    KeyChanges {
        /// The older token.
        from: String,
        /// The newer one.
        to: String,
    },
}

/// A sync (client-server API, `GET /sync`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncQuery {
    /// The device that syncs.
    pub device_id: OwnedDeviceId,
    /// The token of the last answer.
    pub since: Option<String>,
    /// Filter ID or inline JSON.
    pub filter: Option<String>,
    /// All state of all rooms, at once.
    pub full_state: bool,
    /// What syncing says about presence; `None` leaves it alone (offline).
    pub set_presence: Option<PresenceState>,
    /// Wait so long for something to tell.
    pub timeout_ms: u64,
    /// State after the timeline instead of before it.
    pub state_after: bool,
}

/// What a user hears.
#[derive(Debug)]
pub enum UserSignal {
    /// An event (or receipt) was committed in a room this user follows, or a membership of this user changed. In order within a shard.
    Room(Arc<RoomNews>),
    /// The typing users of a followed room changed.
    Typing {
        /// The room.
        room_id: OwnedRoomId,
        /// Who types now.
        users: Arc<Vec<OwnedUserId>>,
    },
    /// Another user's presence changed.
    Presence {
        /// Whose.
        user_id: OwnedUserId,
        /// To what.
        presence: Arc<Presence>,
    },
    /// Another user who shares a room with this one, or the user itself, changed devices or keys.
    DeviceListChanged {
        /// Whose.
        user_id: OwnedUserId,
        /// The shard of that user's log …
        shard: Shard,
        /// … and the position.
        position: Position,
    },
    /// The time of a waiting sync is up.
    SyncDue(u64),
    /// It is time to see whether the user is still there.
    PresenceDue,
    /// Something that the feed's own tasks found out.
    Feed(Box<FeedSignal>),
    /// The server is shutting down: waiting syncs end with what there is.
    Closing,
}

/// Something was committed in a room. Decoded once, shared by all who follow the room.
#[derive(Debug)]
pub struct RoomNews {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The shard.
    pub shard: Shard,
    /// The position.
    pub position: Position,
    /// The record's number in the room.
    pub sequence: u64,
    /// What it is.
    pub kind: NewsKind,
    /// The event in the form in which push rules read it.
    flat: OnceLock<FlattenedJson>,
}

/// A kind of news.
#[derive(Debug)]
pub enum NewsKind {
    /// An event at the end of the timeline.
    Event {
        /// The event.
        event: Arc<RoomEvent>,
        /// A member event: whose membership became what.
        membership: Option<(OwnedUserId, MembershipState)>,
    },
    /// A receipt moved.
    Receipt(ReceiptNews),
    /// The state was resolved anew.
    StateSet,
}

/// A receipt that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptNews {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Only the user sees it.
    pub is_private: bool,
    /// `None` unthreaded, `main`, or a thread root.
    pub thread_id: Option<String>,
    /// Up to this event.
    pub event_id: OwnedEventId,
    /// When, milliseconds since the Unix epoch.
    pub ts_ms: u64,
}

impl RoomNews {
    /// News from a record of a room.
    pub fn new(
        room_id: OwnedRoomId,
        (shard, position): (Shard, Position),
        sequence: u64,
        kind: NewsKind,
    ) -> Self {
        Self {
            room_id,
            shard,
            position,
            sequence,
            kind,
            flat: OnceLock::new(),
        }
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&Arc<RoomEvent>> {
        match &self.kind {
            NewsKind::Event { event, .. } => Some(event),
            _ => None,
        }
    }

    /// The event as push rules read it; made once for all users.
    pub(crate) fn flat(&self) -> Option<&FlattenedJson> {
        let event = self.event()?;
        Some(self.flat.get_or_init(|| flatten(event)))
    }
}

/// An event in the form in which push rules read it.
pub(crate) fn flatten(event: &RoomEvent) -> FlattenedJson {
    let text = std::str::from_utf8(event.pdu.json()).unwrap_or("{}");
    let raw = Raw::<AnySyncTimelineEvent>::from_json_string(text.to_owned())
        .unwrap_or_else(|_| Raw::from_json(serde_json::value::RawValue::NULL.to_owned()));
    FlattenedJson::from_raw(&raw)
}

//! Everything a user can be asked.

use std::sync::Arc;

use playhouse_schema::{
    address::{Position, Sequence, Shard},
    record::user::{SlidingSyncKept, UserRecord},
};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, presence::PresenceState};
use serde::{Deserialize, Serialize};

pub use super::account_messages::{
    DeviceSighting, LoggedIn, Login, Register, SendToDevice, ToDeviceIndex,
};
pub use super::administer::AdminDecision;
pub use super::answer::{Account, Device, IdentityKeys, Presence, Session, UserAnswer};
pub use super::feed::FeedSignal;
pub use super::grants::{ClientLogin, GrantOf, TokenGrant};
pub use super::hidden_invites::InviteWish;
pub use super::key_messages::{
    AddSignatures, SetDehydratedDevice, SignatureFailure, UploadKeys, UploadSigningKeys,
};
pub use super::news::{NewsKind, ReceiptNews, RoomNews};
pub use super::sliding::{
    request::{SlidingQuery, SlidingRequest},
    subscribe_thread::{SetThreadSubscription, ThreadsPage},
};
use super::{push_rule_change::PushRuleChange, push_standing::PushNote};
use crate::{kernel::parcel::nested_option, room::message::JsonText};

/// What a user can be told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UserCommand {
    /// Begin to exist. Refused with `UserInUse` when the name was ever taken. Answers `LoggedIn` when `login` is given, else `Done`.
    Register(Box<Register>),
    /// Log in, the caller having checked password or other proof. Answers `LoggedIn`.
    Login(Login),
    /// As `Login`, for an OAuth client: it gets tokens that it can refresh. Answers `LoggedIn`.
    LoginOfClient(Box<ClientLogin>),
    /// Exchange a refresh token. Answers `LoggedIn`. The old refresh token stays usable until the new access or refresh token is used.
    Refresh {
        /// The refresh token.
        refresh_token: String,
    },
    /// A token that replaced a refresh token was used for the first time: the replaced one ends. Answers `Done`.
    ConfirmRefresh {
        /// SHA-256 of the access token that was used.
        #[serde(with = "serde_bytes")]
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
    /// Say until when the account holds, milliseconds since the Unix epoch. Answers `Done`.
    SetValidity(u64),
    /// The user was mailed of this end of the account. Answers `Done`.
    NoteRenewalMail(u64),
    /// Change the password. Answers `Done`.
    SetPassword {
        /// The hash; `None` makes password login impossible.
        password_hash: Option<String>,
        /// End all sessions but that of this device.
        #[serde(with = "nested_option")]
        logout_except: Option<Option<OwnedDeviceId>>,
    },
    /// Close the account: sessions, keys, profile, pushers end. Answers `Done`. Leaving rooms follows from the log.
    Deactivate {
        /// New readers get the user's events in pruned form.
        erase: bool,
    },
    /// Open a closed account again, with nothing of what it held. Answers `Count`: 1, or 0 when it is open, and stays as it is.
    Reopen {
        /// The hash of its password; `None`: nobody logs in by password.
        password_hash: Option<String>,
    },
    /// Replace records of an account that was closed with the wish to be erased, by number. Answers `Done`.
    EraseHistory(Vec<(Sequence, UserRecord)>),
    /// Lock or unlock. Answers `Done`.
    SetLocked(bool),
    /// Suspend or resume. Answers `Done`.
    SetSuspended(bool),
    /// Make or unmake an administrator. Answers `Done`.
    SetAdmin(bool),
    /// What else is decided of an account. Answers `Done`.
    Administer(AdminDecision),
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
    /// Keep what became of pushes. Of a pusher that is gone nothing is kept. Answers `Done`.
    NotePush(Box<PushNote>),
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
    /// Note that a room is a direct chat with somebody. Answers `Done`.
    MarkDirect {
        /// The room.
        room_id: OwnedRoomId,
        /// With whom.
        with: OwnedUserId,
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
    /// Hide invites, or show them again: a run of a moderation policy wants it. Answers `Count`: how many the run hides then, or did before.
    TurnInvites(Box<InviteWish>),
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
    /// Keep what a connection of sliding sync was told of rooms. Refused with `UnknownPos` when it has ended meanwhile. Answers `Done`.
    KeepConnection(Box<SlidingSyncKept>),
    /// Subscribe to a thread, or unsubscribe. Answers `Done`.
    SetThreadSubscription(Box<SetThreadSubscription>),
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
    /// So many.
    Count(u64),
}

/// What a user can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UserQuery {
    /// Whose token this is. Answers `Session`.
    Authenticate {
        /// The access token.
        access_token: String,
    },
    /// To which device and OAuth client tokens were given. Answers `Grant`.
    Grant(GrantOf),
    /// The account. Answers `Account`.
    Account,
    /// The account, and whether the user has this device, if one is named. Answers `Acting`.
    Acting(Option<OwnedDeviceId>),
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
    /// All account data in force. Answers `AllData`.
    AllAccountData,
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
    /// Whether this inviter's invites are wanted. Answers `Invite`.
    JudgeInvite(OwnedUserId),
    /// The invites that are not shown because a moderator did not want it. Answers `HiddenInvites`.
    HiddenInvites,
    /// Where the user is told of notifications. Answers `Pushers`.
    Pushers,
    /// All that is known of the user's pushers. Answers `PusherBook`.
    PusherBook,
    /// What judges whether the user is notified of an event: push rules and ignored users. Answers `Judging`.
    Judging,
    /// How far the user has heard of a room. Answers `FeedPlace`.
    FeedPlace(OwnedRoomId),
    /// Presence. Answers `Presence`.
    Presence,
    /// A sync; waits up to its timeout. Answers `Synced`.
    Sync(Box<SyncQuery>),
    /// A sliding sync; waits up to its timeout. Answers `Synced`.
    SlidingSync(Box<SlidingQuery>),
    /// What was said of a thread; `NotFound` when it is not subscribed to. Answers `ThreadSubscription`.
    ThreadSubscription(OwnedRoomId, OwnedEventId),
    /// Changes of thread subscriptions, the newest first. Answers `ThreadChanges`.
    ThreadChanges(ThreadsPage),
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

/// What a user hears. What its own tasks and timers tell it goes to no other node.
#[derive(Debug, Serialize, Deserialize)]
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
    #[serde(skip)]
    SyncDue(u64),
    /// It is time to see whether the user is still there.
    #[serde(skip)]
    PresenceDue,
    /// Something that the feed's own tasks found out.
    #[serde(skip)]
    Feed(Box<FeedSignal>),
    /// The server is shutting down: waiting syncs end with what there is.
    Closing,
}

//! What a user owns, and `apply`: the only way it changes.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use imbl::{OrdMap, Vector};
use playhouse_schema::{
    address::{Position, Sequence},
    record::user::{
        NamedJson, PresenceKept, RateOverride, Registered, Reopened, TermsAccepted, UserRecord,
    },
};
use ruma::{DeviceId, OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, push::Ruleset};
use serde::{Deserialize, Serialize};

use super::{
    chain::Tokens,
    cross_signing::CrossSigning,
    data::AccountData,
    device::DeviceState,
    fold_keys::{Dehydrated, Signed},
    hidden_invites::HiddenInvites,
    inbound::Received,
    push_standing::EndedPusher,
    pushers::Pusher,
    sliding::{connection::Connections, threads::ThreadSubscriptions},
    view,
};

/// When something last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The user's record that says it; 0 when it never changed.
    pub sequence: Sequence,
    /// The record's position in the shard; 0 while in flight.
    pub position: Position,
}

/// A JSON value that may have been removed, and when it last changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The value; `None` when it was removed.
    pub json: Option<Arc<str>>,
    /// When.
    pub change: Change,
}

/// The account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountState {
    /// PHC or modular-crypt string.
    pub password_hash: Option<String>,
    /// Server administrator.
    pub admin: bool,
    /// Guest.
    pub guest: bool,
    /// `bot`, `support` or nothing.
    pub user_type: Option<String>,
    /// When it began, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Locked.
    pub locked: bool,
    /// Suspended.
    pub suspended: bool,
    /// Closed.
    pub deactivated: bool,
    /// New readers get the user's events in pruned form.
    pub erased: bool,
    /// Up to this record everything private goes out of the log, whatever became of the account since; 0 when that was never wished.
    pub(super) erased_until: Sequence,
    /// When it was last opened again, milliseconds since the Unix epoch.
    pub reopened_ms: Option<u64>,
    /// Ends then, milliseconds since the Unix epoch, where accounts end.
    pub valid_until_ms: Option<u64>,
    /// What the user sends reaches nobody.
    pub shadow_banned: bool,
    /// How fast requests may come, where that is not as for everybody.
    pub rate: Option<RateOverride>,
    /// The terms that were accepted last.
    pub terms: Option<TermsAccepted>,
}

/// A user's state: a fold of its records. Cheap to clone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Who it is.
    pub user_id: OwnedUserId,
    /// The newest record applied.
    pub sequence: Sequence,
    /// The account; `None` before it began.
    pub account: Option<AccountState>,
    /// Devices by ID.
    pub devices: OrdMap<OwnedDeviceId, Arc<DeviceState>>,
    pub(super) tokens: Tokens,
    /// Profile fields in force, and when they changed.
    pub profile: OrdMap<String, Item>,
    /// When the profile last changed.
    pub profile_change: Change,
    /// Account data, global and of rooms.
    pub account_data: AccountData,
    pub(super) filters: Vector<Arc<str>>,
    /// Rooms that were forgotten, and up to which of the user's member events in them. A stay that began after it is not.
    pub forgotten: OrdMap<OwnedRoomId, Sequence>,
    /// Invites that a moderator took out of the user's sight.
    pub(super) hidden_invites: HiddenInvites,
    /// Cross-signing keys.
    pub cross_signing: CrossSigning,
    /// Signatures that were added after upload, by user and key.
    pub signatures: OrdMap<(String, String), Signed>,
    /// The newest record by which the user signed another's key.
    pub(super) signed_others: Sequence,
    /// The dehydrated device.
    pub dehydrated: Option<Dehydrated>,
    /// When devices or their keys last changed in a way that others must hear of.
    pub device_list_change: Change,
    /// Which sendings of to-device messages came last.
    pub(super) received: Received,
    /// Presence as last kept.
    pub presence: Option<PresenceKept>,
    /// Pushers by application and key.
    pub pushers: OrdMap<(String, String), Pusher>,
    /// Pushers that were removed by others than the user.
    pub ended_pushers: Vector<EndedPusher>,
    /// What the connections of sliding sync were told of rooms.
    pub connections: Connections,
    /// Thread subscriptions.
    pub threads: ThreadSubscriptions,
    #[serde(skip)]
    derived: Derived,
    /// Changes in flight, which learn their position later.
    #[serde(skip)]
    unplaced: Vec<(Sequence, Unplaced)>,
}

/// What is computed from the rest.
#[derive(Clone, Debug, Default)]
struct Derived {
    push_rules: Arc<OnceLock<Arc<Ruleset>>>,
    ignored: Arc<OnceLock<Arc<BTreeSet<OwnedUserId>>>>,
    weight_bytes: usize,
}

/// Where a position is still missing.
#[derive(Clone, Debug)]
enum Unplaced {
    AccountData(Option<OwnedRoomId>, String),
    Profile(String),
    DeviceList,
}

/// The weight is measured again after so many records.
const WEIGHT_RECORDS: u64 = 64;

impl User {
    /// The state before the first record.
    pub(crate) fn nothing(user_id: OwnedUserId) -> Self {
        Self {
            user_id,
            sequence: 0,
            account: None,
            devices: OrdMap::new(),
            tokens: Tokens::default(),
            profile: OrdMap::new(),
            profile_change: Change::default(),
            account_data: AccountData::default(),
            filters: Vector::new(),
            forgotten: OrdMap::new(),
            hidden_invites: HiddenInvites::default(),
            cross_signing: CrossSigning::default(),
            signatures: OrdMap::new(),
            signed_others: 0,
            dehydrated: None,
            device_list_change: Change::default(),
            received: Received::default(),
            presence: None,
            pushers: OrdMap::new(),
            ended_pushers: Vector::new(),
            connections: Connections::default(),
            threads: ThreadSubscriptions::default(),
            derived: Derived::default(),
            unplaced: Vec::new(),
        }
    }

    /// Takes in a record.
    pub(super) fn fold(&mut self, change: Change, record: &UserRecord) {
        self.sequence = change.sequence;
        self.fold_account(change, record);
        self.fold_data(change, record);
        self.fold_keys(change.sequence, record);
        self.fold_messages(change, record);
        self.fold_pushers(change.sequence, record);
        self.fold_sliding(change.sequence, record);
        self.hidden_invites.fold(change.sequence, record);
        if self.changes_device_list(record) {
            self.device_list_change = change;
            self.expect_position(change, Unplaced::DeviceList);
        }
        if change.sequence.is_multiple_of(WEIGHT_RECORDS) {
            self.measure();
        }
    }

    /// Whether a record is one of which the users who share a room with this one hear as `device_lists.changed`.
    pub fn changes_device_list(&self, record: &UserRecord) -> bool {
        match record {
            UserRecord::DeviceAdded(_)
            | UserRecord::DeviceRenamed(_)
            | UserRecord::DeviceRemoved(_)
            | UserRecord::DeviceKeysSet(_)
            | UserRecord::CrossSigningKeysSet(_)
            | UserRecord::Deactivated(_) => true,
            UserRecord::SignaturesAdded(keys) => {
                keys.iter().any(|key| key.user_id == self.user_id.as_str())
            }
            _ => false,
        }
    }

    fn fold_account(&mut self, change: Change, record: &UserRecord) {
        match record {
            UserRecord::Registered(registered) => self.account = Some(begin(registered)),
            UserRecord::Deactivated(deactivated) => self.close(change, deactivated.erase),
            UserRecord::Reopened(reopened) => self.reopen(reopened),
            UserRecord::TokenIssued(issued) => self.tokens.issue(issued),
            UserRecord::TokensRevoked(hashes) => self.tokens.revoke(hashes),
            _ => {}
        }
        let Some(account) = &mut self.account else {
            return;
        };
        match record {
            UserRecord::PasswordSet(hash) => account.password_hash.clone_from(hash),
            UserRecord::LockSet(locked) => account.locked = *locked,
            UserRecord::SuspensionSet(suspended) => account.suspended = *suspended,
            UserRecord::AdminSet(admin) => account.admin = *admin,
            UserRecord::UserTypeSet(user_type) => account.user_type.clone_from(user_type),
            UserRecord::ShadowBanSet(banned) => account.shadow_banned = *banned,
            UserRecord::RateOverrideSet(rate) => account.rate = *rate,
            UserRecord::TermsAccepted(terms) => account.terms = Some(terms.clone()),
            UserRecord::ValiditySet(set) => account.valid_until_ms = Some(set.until_ms),
            _ => {}
        }
    }

    /// Closes the account: what was the user's is gone, the name stays taken. Which rooms were forgotten is not the user's alone: it says what may not be read,
    /// and would hold if the account were opened again. It goes with what is taken out of the log.
    fn close(&mut self, change: Change, erase: bool) {
        let mut closed = Self::nothing(self.user_id.clone());
        closed.sequence = self.sequence;
        closed.account = self.account.take();
        closed.profile_change = change;
        if !erase {
            closed.forgotten = std::mem::take(&mut self.forgotten);
        }
        if let Some(account) = &mut closed.account {
            account.password_hash = None;
            account.deactivated = true;
            account.erased |= erase;
            account.admin = false;
            if erase {
                account.erased_until = change.sequence;
            }
        }
        closed.measure();
        *self = closed;
    }

    /// Opens a closed account again. What it held is gone; what was decided of it, like a lock or a shadow ban, holds on, and so does which rooms were
    /// forgotten, unless the account was erased.
    fn reopen(&mut self, reopened: &Reopened) {
        let Some(account) = &mut self.account else {
            return;
        };
        account.password_hash.clone_from(&reopened.password_hash);
        account.deactivated = false;
        account.reopened_ms = Some(reopened.at_ms);
        account.valid_until_ms = None;
        if account.erased {
            // It was, or will be, taken out of the log.
            account.terms = None;
        }
        account.erased = false;
    }

    fn fold_data(&mut self, change: Change, record: &UserRecord) {
        match record {
            UserRecord::ProfileFieldSet(field) => self.set_profile_field(change, field),
            UserRecord::AccountDataSet(data) => {
                self.derived.forget(&data.name);
                self.set_account_data(change, None, data);
            }
            UserRecord::RoomAccountDataSet(set) => {
                if let Ok(room_id) = RoomId::parse(&set.room_id) {
                    self.set_account_data(change, Some(room_id), &set.data);
                }
            }
            UserRecord::FilterStored(filter) => self.filters.push_back(text(filter)),
            UserRecord::RoomForgotten(forgotten) => {
                if let Ok(room_id) = RoomId::parse(&forgotten.room_id) {
                    self.forgotten.insert(room_id, forgotten.until);
                }
            }
            UserRecord::PresenceKept(presence) => self.presence = Some(presence.clone()),
            _ => {}
        }
    }

    fn set_profile_field(&mut self, change: Change, field: &NamedJson) {
        let item = Item {
            json: field.json.as_ref().map(|json| text(json)),
            change,
        };
        self.profile_change = change;
        self.profile.insert(field.name.clone(), item);
        self.expect_position(change, Unplaced::Profile(field.name.clone()));
    }

    fn set_account_data(&mut self, change: Change, room_id: Option<OwnedRoomId>, data: &NamedJson) {
        let item = Item {
            json: data.json.as_ref().map(|json| text(json)),
            change,
        };
        self.account_data
            .set(room_id.clone(), data.name.clone(), item);
        self.expect_position(change, Unplaced::AccountData(room_id, data.name.clone()));
    }

    /// Whether a membership that began with this record of the room is forgotten.
    pub fn has_forgotten(&self, room_id: &RoomId, since: Sequence) -> bool {
        let until = self.forgotten.get(room_id);
        until.is_some_and(|until| since <= *until)
    }

    pub(super) fn change_device(&mut self, device_id: &str, change: impl FnOnce(&mut DeviceState)) {
        if let Some(device) = self.devices.get_mut(<&DeviceId>::from(device_id)) {
            change(Arc::make_mut(device));
        }
    }

    fn expect_position(&mut self, change: Change, what: Unplaced) {
        if change.position == 0 {
            self.unplaced.push((change.sequence, what));
        }
    }

    /// Tells the position of a record that was in flight.
    pub(super) fn place(&mut self, sequence: Sequence, position: Position) {
        let placed = |change: &mut Change| {
            if change.sequence == sequence {
                change.position = position;
            }
        };
        placed(&mut self.profile_change);
        for (_, what) in self
            .unplaced
            .extract_if(.., |(waiting, _)| *waiting == sequence)
        {
            match what {
                Unplaced::AccountData(room_id, name) => {
                    self.account_data.change_of(room_id, name, placed);
                }
                Unplaced::Profile(name) => {
                    if let Some(item) = self.profile.get_mut(&name) {
                        placed(&mut item.change);
                    }
                }
                Unplaced::DeviceList => placed(&mut self.device_list_change),
            }
        }
    }

    pub(super) fn has_unplaced(&self) -> bool {
        !self.unplaced.is_empty()
    }

    /// A rough figure of the memory it takes, as last measured.
    pub(super) fn weight_bytes(&self) -> usize {
        self.derived.weight_bytes
    }

    /// Measures the weight.
    pub(super) fn measure(&mut self) {
        let devices: usize = self
            .devices
            .values()
            .map(|device| device.weight_bytes())
            .sum();
        let filters: usize = self.filters.iter().map(|filter| filter.len() + 32).sum();
        let profile: usize = self
            .profile
            .values()
            .map(|item| item.json.as_ref().map_or(0, |json| json.len()) + 100)
            .sum();
        self.derived.weight_bytes = 4_000
            + devices
            + filters
            + profile
            + self.tokens.len() * 200
            + self.account_data.bytes()
            + self.account_data.len() * 200
            + self.forgotten.len() * 80
            + self.hidden_invites.weight_bytes()
            + self.signatures.len() * 500
            + self.pushers.len() * 1_000
            + self.connections.weight_bytes()
            + self.threads.len() * 250
            + self.received.weight_bytes()
            + self
                .dehydrated
                .as_ref()
                .map_or(0, |device| device.data.len());
    }

    /// The push rules, with the server's own among them.
    pub fn push_rules(&self) -> Arc<Ruleset> {
        let fill = || Arc::new(view::push_rules(self));
        self.derived.push_rules.get_or_init(fill).clone()
    }

    /// Users whose events this user does not want to see.
    pub fn ignored(&self) -> Arc<BTreeSet<OwnedUserId>> {
        let fill = || Arc::new(view::ignored(self));
        self.derived.ignored.get_or_init(fill).clone()
    }
}

impl Derived {
    /// Forgets what was computed from a piece of global account data.
    fn forget(&mut self, event_type: &str) {
        match event_type {
            "m.push_rules" => self.push_rules = Arc::default(),
            "m.ignored_user_list" => self.ignored = Arc::default(),
            _ => {}
        }
    }
}

fn begin(registered: &Registered) -> AccountState {
    AccountState {
        password_hash: registered.password_hash.clone(),
        admin: registered.admin,
        guest: registered.guest,
        user_type: registered.user_type.clone(),
        created_ms: registered.at_ms,
        locked: false,
        suspended: false,
        deactivated: false,
        erased: false,
        erased_until: 0,
        reopened_ms: None,
        valid_until_ms: None,
        shadow_banned: false,
        rate: None,
        terms: None,
    }
}

/// The text of a record's JSON. What was written was UTF-8.
pub(super) fn text(json: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(json).into()
}

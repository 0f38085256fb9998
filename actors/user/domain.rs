//! The user as a domain: which command is judged where, and who answers which query.

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::user::UserRecord,
};
use ruma::UserId;

use super::{
    acknowledge_to_device, add_signatures, administer, change_push_rules, claim_keys,
    confirm_refresh,
    context::{UserContext, UserLimits},
    deactivate, dehydrate, erase_history,
    error::UserError,
    feed::{self, Feed},
    forget_room, grants, hidden_invites, inherit_room, login, mark_direct,
    message::{UserAnswer, UserCommand, UserQuery, UserReply, UserSignal},
    note_devices_seen, note_transaction, push_standing, pushers, queue_to_device, refresh,
    register, remove_devices, rename_device, reopen, send_to_device, set_account_data,
    set_password, set_presence, set_profile_field, set_standing, set_tag,
    sliding::{keep_connection, subscribe_thread},
    snapshot,
    state::{Change, User},
    store_filter, upload_keys, upload_signing_keys, validity,
};
use crate::{
    env::Env,
    kernel::{Committed, Decision, Domain, Port, Resident},
    room::message::JsonText,
};

/// Account data that says what is unread.
const RULES: [&str; 2] = ["m.push_rules", "m.ignored_user_list"];

impl Domain for User {
    const NAME: &'static str = "user";
    const SNAPSHOT_VERSION: u32 = snapshot::VERSION;

    type Record = UserRecord;
    type Command = UserCommand;
    type Reply = UserReply;
    type Query = UserQuery;
    type Answer = UserAnswer;
    type Signal = UserSignal;
    type Error = UserError;
    type Live = Feed;
    type Context = UserContext;

    fn empty(entity: &Entity) -> Self {
        let user_id = UserId::parse(entity.name())
            .expect("entities of users are only made from user IDs that were parsed");
        Self::nothing(user_id)
    }

    fn apply(&mut self, sequence: Sequence, position: Position, record: &UserRecord) {
        self.fold(Change { sequence, position }, record);
    }

    fn erased(&mut self, note: Sequence, _replaced: Option<(Sequence, &Bytes)>) {
        // Nothing that is erased is part of the state of an account that was closed after it.
        self.sequence = note;
    }

    fn decide(
        &self,
        command: UserCommand,
        context: &UserContext,
    ) -> Result<Decision<Self>, UserError> {
        let decision = self.judge(command, &context.env, &context.limits)?;
        // Before the commit, hence before the answer. Who asks from here on is answered from the new state; who asked before holds a ticket that is void.
        if decision.records.iter().any(ends_sessions) {
            context.sessions.invalidate(&self.user_id);
        }
        let sets_pusher = |record: &UserRecord| matches!(record, UserRecord::PusherSet(_));
        if decision.records.iter().any(sets_pusher) {
            context.pushers.pusher_set(&self.user_id);
        }
        if !self.pushers.is_empty() && decision.records.iter().any(changes_rules) {
            context.pushers.rules_changed(&self.user_id);
        }
        Ok(decision)
    }

    fn answer(resident: &mut Resident<Self>, query: UserQuery, port: Port<UserAnswer, UserError>) {
        let user = &*resident.state;
        let answer = match query {
            UserQuery::Sync(_)
            | UserQuery::SlidingSync(_)
            | UserQuery::Rooms
            | UserQuery::FeedPlace(_)
            | UserQuery::KeyChanges { .. }
            | UserQuery::Presence => return feed::answer(resident, query, port),
            UserQuery::Authenticate { access_token } => user
                .session(&access_token, resident.context.env.now_ms())
                .map(UserAnswer::Session),
            query => user.existing().and_then(|_| user.tell(query)),
        };
        let _ = port.send(answer);
    }

    fn signal(resident: &mut Resident<Self>, signal: UserSignal) {
        feed::signal(resident, signal);
    }

    fn committed(resident: &mut Resident<Self>, records: &[Committed]) {
        if resident.state.has_unplaced() {
            let user = std::sync::Arc::make_mut(&mut resident.state);
            for record in records {
                user.place(record.sequence, record.position);
            }
        }
        feed::committed(resident, records);
    }

    fn woken(resident: &mut Resident<Self>) {
        feed::woken(resident);
    }

    fn is_busy(live: &Feed) -> bool {
        live.is_busy()
    }

    fn weight_bytes(&self) -> usize {
        self.weight_bytes()
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        snapshot::is_due(self, records_since)
    }

    fn to_snapshot(&self) -> Bytes {
        snapshot::write(self)
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        snapshot::read(&snapshot.payload)
    }
}

/// Whether a record changes what counts as unread.
fn changes_rules(record: &UserRecord) -> bool {
    match record {
        UserRecord::AccountDataSet(data) => RULES.contains(&data.name.as_str()),
        UserRecord::InvitesHidden(_) | UserRecord::InvitesShown(_) => true,
        _ => false,
    }
}

/// Whether a record ends or changes sessions that may be cached.
fn ends_sessions(record: &UserRecord) -> bool {
    matches!(
        record,
        UserRecord::TokensRevoked(_)
            | UserRecord::DeviceRemoved(_)
            | UserRecord::Deactivated(_)
            | UserRecord::LockSet(_)
            | UserRecord::SuspensionSet(_)
            | UserRecord::AdminSet(_)
            | UserRecord::ShadowBanSet(_)
            | UserRecord::RateOverrideSet(_)
            | UserRecord::ValiditySet(_)
    )
}

impl User {
    /// Judges a command. Pure but for clock and randomness.
    pub(super) fn judge(
        &self,
        command: UserCommand,
        env: &Env,
        limits: &UserLimits,
    ) -> Result<Decision<Self>, UserError> {
        match command {
            UserCommand::Register(register) => register::decide(self, *register, env, limits),
            UserCommand::Login(login) => login::decide(self, login, env, limits),
            UserCommand::LoginOfClient(login) => grants::decide(self, *login, env, limits),
            UserCommand::Refresh { refresh_token } => {
                refresh::decide(self, &refresh_token, env, limits)
            }
            UserCommand::ConfirmRefresh { access_hash } => {
                confirm_refresh::decide(self, &access_hash)
            }
            UserCommand::RemoveDevices { device_ids } => {
                remove_devices::decide_some(self, device_ids)
            }
            UserCommand::RemoveAllDevices { except } => {
                remove_devices::decide_all(self, except.as_deref())
            }
            UserCommand::RenameDevice {
                device_id,
                display_name,
            } => rename_device::decide(self, &device_id, display_name),
            UserCommand::NoteDevicesSeen(sightings) => note_devices_seen::decide(self, sightings),
            UserCommand::SetPassword {
                password_hash,
                logout_except,
            } => set_password::decide(self, password_hash, logout_except),
            UserCommand::Deactivate { erase } => deactivate::decide(self, erase),
            UserCommand::Reopen { password_hash } => {
                reopen::decide(self, password_hash, env, limits)
            }
            UserCommand::EraseHistory(records) => erase_history::decide(self, records),
            UserCommand::SetLocked(locked) => set_standing::decide_locked(self, locked),
            UserCommand::SetSuspended(suspended) => set_standing::decide_suspended(self, suspended),
            UserCommand::SetAdmin(admin) => set_standing::decide_admin(self, admin),
            UserCommand::Administer(decision) => administer::decide(self, decision, (env, limits)),
            UserCommand::SetPresence {
                presence,
                status_msg,
            } => set_presence::decide(self, presence, status_msg, env),
            UserCommand::SetPusher { pusher, device_id } => {
                let device_id = device_id.map(|device_id| device_id.to_string());
                pushers::decide_set(self, (pusher, device_id), env, limits)
            }
            UserCommand::RemovePusher { app_id, pushkey } => {
                pushers::decide_remove(self, app_id, pushkey)
            }
            UserCommand::NotePush(note) => push_standing::decide(self, *note, env),
            UserCommand::UploadKeys(upload) => upload_keys::decide(self, *upload, limits),
            UserCommand::UploadSigningKeys(upload) => {
                upload_signing_keys::decide(self, *upload, limits)
            }
            UserCommand::AddSignatures(upload) => add_signatures::decide(self, *upload, limits),
            UserCommand::SetDehydratedDevice(device) => {
                dehydrate::decide_set(self, *device, limits)
            }
            UserCommand::RemoveDehydratedDevice => dehydrate::decide_remove(self),
            UserCommand::ClaimKeys(wanted) => claim_keys::decide(self, wanted),
            UserCommand::DropOneTimeKeys(device_id) => claim_keys::decide_drop(self, &device_id),
            UserCommand::InheritRoom { from, to } => {
                inherit_room::decide(self, (&from, &to), limits)
            }
            UserCommand::MarkDirect { room_id, with } => {
                mark_direct::decide(self, (&room_id, &with), limits)
            }
            command => self.judge_data(command, limits),
        }
    }

    fn judge_data(
        &self,
        command: UserCommand,
        limits: &UserLimits,
    ) -> Result<Decision<Self>, UserError> {
        match command {
            UserCommand::SetProfileField { name, value } => {
                set_profile_field::decide(self, name, value)
            }
            UserCommand::SetAccountData {
                room_id,
                event_type,
                content,
            } => set_account_data::decide(self, (room_id, event_type), content, limits),
            UserCommand::ChangePushRules(wish) => change_push_rules::decide(self, *wish, limits),
            UserCommand::SetTag {
                room_id,
                tag,
                content,
            } => set_tag::decide(self, room_id, (tag, content), limits),
            UserCommand::StoreFilter(filter) => store_filter::decide(self, &filter, limits),
            UserCommand::ForgetRoom { room_id, until } => {
                forget_room::decide(self, (&room_id, until), limits)
            }
            UserCommand::TurnInvites(wish) => hidden_invites::decide(self, *wish),
            UserCommand::QueueToDevice {
                message_id,
                sender,
                event_type,
                messages,
            } => self.judge_queueing(message_id, (&sender, &event_type), messages, limits),
            UserCommand::SendToDevice(sending) => send_to_device::decide(self, *sending),
            UserCommand::NoteTransaction {
                device_id,
                transaction_id,
            } => note_transaction::decide(self, &device_id, transaction_id),
            UserCommand::SetValidity(until_ms) => validity::decide_set(self, until_ms),
            UserCommand::NoteRenewalMail(until_ms) => validity::decide_mailed(self, until_ms),
            UserCommand::KeepConnection(kept) => keep_connection::decide(self, *kept),
            UserCommand::SetThreadSubscription(set) => subscribe_thread::decide(self, *set),
            UserCommand::AcknowledgeToDevice { device_id, until } => {
                acknowledge_to_device::decide(self, &device_id, until)
            }
            // Named one by one, so that a new command does not compile until it is judged.
            UserCommand::Register(_)
            | UserCommand::Login(_)
            | UserCommand::LoginOfClient(_)
            | UserCommand::Refresh { .. }
            | UserCommand::ConfirmRefresh { .. }
            | UserCommand::RemoveDevices { .. }
            | UserCommand::RemoveAllDevices { .. }
            | UserCommand::RenameDevice { .. }
            | UserCommand::NoteDevicesSeen(_)
            | UserCommand::SetPassword { .. }
            | UserCommand::Deactivate { .. }
            | UserCommand::Reopen { .. }
            | UserCommand::EraseHistory(_)
            | UserCommand::SetLocked(_)
            | UserCommand::SetSuspended(_)
            | UserCommand::SetAdmin(_)
            | UserCommand::Administer(_)
            | UserCommand::UploadKeys(_)
            | UserCommand::UploadSigningKeys(_)
            | UserCommand::AddSignatures(_)
            | UserCommand::ClaimKeys(_)
            | UserCommand::DropOneTimeKeys(_)
            | UserCommand::SetDehydratedDevice(_)
            | UserCommand::RemoveDehydratedDevice
            | UserCommand::SetPusher { .. }
            | UserCommand::RemovePusher { .. }
            | UserCommand::NotePush(_)
            | UserCommand::InheritRoom { .. }
            | UserCommand::MarkDirect { .. }
            | UserCommand::SetPresence { .. } => Err(UserError::NotFound),
        }
    }

    /// What was received before is not queued again.
    fn judge_queueing(
        &self,
        message_id: Option<String>,
        (sender, event_type): (&UserId, &str),
        messages: Vec<(String, JsonText)>,
        limits: &UserLimits,
    ) -> Result<Decision<Self>, UserError> {
        let origin = message_id.map(|id| queue_to_device::origin(sender, &id));
        if origin
            .as_ref()
            .is_some_and(|origin| self.has_received(origin))
        {
            return Ok(Decision::unchanged(UserReply::Done));
        }
        queue_to_device::decide(self, (sender, event_type, origin), messages, limits)
    }

    fn tell(&self, query: UserQuery) -> Result<UserAnswer, UserError> {
        Ok(match query {
            UserQuery::Grant(of) => UserAnswer::Grant(grants::answer(self, &of)),
            UserQuery::Account => UserAnswer::Account(self.account_answer()?),
            UserQuery::Acting(device_id) => {
                let has_device = device_id.is_none_or(|id| self.device(&id).is_some());
                UserAnswer::Acting(self.account_answer()?, has_device)
            }
            UserQuery::Devices { device_id } => {
                UserAnswer::Devices(self.devices_answer(device_id.as_deref())?)
            }
            UserQuery::Profile => UserAnswer::Profile(self.profile_answer()),
            UserQuery::AccountData {
                room_id,
                event_type,
            } => UserAnswer::Json(
                self.account_data_json(room_id.as_deref(), &event_type)
                    .ok_or(UserError::NotFound)?,
            ),
            UserQuery::AllAccountData => UserAnswer::AllData(self.all_account_data()),
            UserQuery::Filter(filter_id) => {
                let filter = self.filter(&filter_id).ok_or(UserError::NotFound)?;
                UserAnswer::Json(filter.to_string())
            }
            UserQuery::TransactionDone {
                device_id,
                transaction_id,
            } => {
                let device = self.device(&device_id).ok_or(UserError::NotFound)?;
                let done = device.has_done(&transaction_id);
                let name = || device.transaction_name(&transaction_id);
                UserAnswer::Transaction((!done).then(name))
            }
            UserQuery::IdentityKeys(device_ids) => {
                UserAnswer::IdentityKeys(Box::new(self.identity_keys(&device_ids)))
            }
            UserQuery::DehydratedDevice => {
                let device = self.dehydrated.as_ref().ok_or(UserError::NotFound)?;
                UserAnswer::Dehydrated(device.device_id.clone(), device.data.to_string())
            }
            UserQuery::DehydratedEvents {
                device_id,
                after,
                limit,
            } => dehydrate::events(self, &device_id, after, limit)?,
            UserQuery::SignaturesOn(users) => UserAnswer::Signatures(self.signatures_on(&users)),
            UserQuery::Reading(room_id) => UserAnswer::Reading(
                self.ignored().iter().cloned().collect(),
                self.forgotten.get(&room_id).copied(),
            ),
            UserQuery::JudgeInvite(inviter) => UserAnswer::Invite(self.judge_invite(&inviter)),
            UserQuery::HiddenInvites => hidden_invites::tell(self)?,
            UserQuery::Judging => UserAnswer::Judging(self.push_rules(), self.ignored()),
            UserQuery::Pushers => UserAnswer::Pushers(self.pushers_answer()),
            UserQuery::PusherBook => UserAnswer::PusherBook(Box::new(self.pusher_book())),
            UserQuery::ThreadSubscription(room_id, root) => {
                subscribe_thread::tell(self, &room_id, &root)?
            }
            UserQuery::ThreadChanges(page) => subscribe_thread::tell_changes(self, page),
            UserQuery::Authenticate { .. }
            | UserQuery::Rooms
            | UserQuery::FeedPlace(_)
            | UserQuery::Presence
            | UserQuery::Sync(_)
            | UserQuery::SlidingSync(_)
            | UserQuery::KeyChanges { .. } => return Err(UserError::NotFound),
        })
    }
}

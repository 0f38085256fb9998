//! The house: all actors of a node opened together, and what concerns more than one of them.
//!
//! Owns the order in which things start and end, and the flows across entities: one file each, every flow safe to repeat. Must not know HTTP, and
//! decides nothing that one actor can decide alone.
//!
//! # For endpoint writers
//! One entity: [`House::room_command`], [`House::room_query`], [`House::user_command`], [`House::user_query`], [`House::media_command`],
//! [`House::media_query`], [`House::await_media`], [`House::registration_command`], [`House::registration_query`]. More than one, by file:
//!
//! | file | flows |
//! |---|---|
//! | `session` | `authenticate(&str) -> Session`, `note_sighting(&Session, Sighting)`, `has_open_account(&UserId) -> bool` |
//! | `register` | `register(NewAccount) -> MadeAccount`, `available_user_id(&str) -> OwnedUserId`, `is_registration_token_valid`, `hold_registration_token(token, session)`, `release_registration_token(session)` |
//! | `login` | `login_by_password(user, password, Login) -> (OwnedUserId, LoggedIn)`, `login(&UserId, Login) -> LoggedIn`, `refresh(&str) -> LoggedIn`, `logout(&Session)`, `logout_all(&UserId)`, `is_password(&UserId, String) -> bool`, `set_password`, `hash_password`, `account(&UserId) -> Account`, `acting(&UserId, Option<&DeviceId>) -> (Account, bool)` |
//! | `administer` | `set_account(&UserId, AccountWish) -> bool`, `administer(&UserId, AdminDecision)`, `log_in_as(&UserId, until_ms) -> LoggedIn`, `memberships_of(&UserId)`, `find_accounts(&Wanted, &Page)` |
//! | `admins` | `make_admin_token(TokenWish) -> (String, String)`, `revoke_admin_token(id, by)`, `admin_tokens()`, `admin_of_token(&str)`, `begin_change(ChangeBegun)`, `end_change(ChangeEnded)`, `changes(&WantedChanges, limit)`, `noted_change(id)`, `policies()`, `policy(name)`, `save_policy(name, PolicyRule, by)`, `delete_policy(name, by)`, `dry_run(name) -> DryRun`, `apply_policy(PolicyWish) -> Applied`; `standing`: `standing_of(&ChangeTarget)`; `undo`: `undo(&Change, by)` |
//! | `pretend` | `pretended_event_id()`, `pretended_room_id()`: for those whose events reach nobody |
//! | `create_room` | `create_room(RoomWish) -> MadeRoom` |
//! | `handshakes` | `template_for_peer(server, Handshake, TemplateAsked) -> Template`, `take_handed(server, Handshake, HandedPdu) -> Handed` |
//! | `join` | `join(JoinWish) -> OwnedRoomId`, `knock(JoinWish) -> OwnedRoomId`, `room_access(&RoomId, &UserId) -> RoomAccess`, `room_of(&OwnedRoomOrAliasId, via) -> OwnedRoomId` |
//! | `journey` | what `join`, `knock`, `leave` and `invite` do in rooms and for users of other servers; `receive_invite(&ServerName, IncomingInvite)`; `joins_under_way() -> Vec<Join>`, `cancel_join(&RoomId, &UserId, by) -> Join` |
//! | `membership` | `invite(MemberWish, is_direct)`, `leave`, `kick`, `ban`, `unban` `(MemberWish)`, `forget(&RoomId, &UserId)`, `joined_rooms(&UserId)`, `member_profile(&UserId)` |
//! | `upgrade` | `upgrade_room(UpgradeWish) -> OwnedRoomId` |
//! | `aliases` | `resolve_alias(&RoomAliasId) -> ResolvedAlias`, `create_alias(&RoomAliasId, &RoomId, &UserId)`, `delete_alias(&RoomAliasId, &UserId, admin)`, `room_aliases(&RoomId, &UserId)`, `set_directory_visibility(&RoomId, &UserId, public)` |
//! | `send` | `send_event(&RoomId, SendEvent) -> OwnedEventId` for messages, state and redactions |
//! | `to_device` | `send_to_device(&Session, ToDeviceWish)` |
//! | `keys` | `query_keys`, `claim_keys`, `upload_keys`, `key_changes` |
//! | `cross_signing` | `upload_signing_keys(&UserId, UploadSigningKeys)`, `add_signatures(&UserId, signed)` |
//! | `backfill` | `messages(&RoomId, MessagesQuery) -> MessagesPage` |
//! | `event_journey` | `event_journey(&JourneyWish) -> EventJourney`, `inspect_room(&RoomId, Inspection) -> Inspected` |
//! | `care` | `room_storage(&RoomId) -> RoomStorage`, `room_graph(&RoomId) -> RoomGraph`, `state_reason(&RoomId, key) -> StateReason`, `compare_state(&RoomId, servers) -> Comparison`, `refold_room(&RoomId)` |
//! | `backlog` | `backlogs((after, limit), only_unfinished) -> Vec<Backlog>`, `pushers(after, limit)`, `parked(after, limit)`, `retry_parked(&ParkedPlace)`, `discard_parked(&ParkedPlace)` |
//! | `figures` | `Figures`: `note(&House)`, `note_parked(&House)`, `note_size(&House)` set the gauges that nobody sets by the way |
//! | `event_at` | `event_at(&RoomId, EventAtQuery) -> FoundEvent` |
//! | `backups` | `backup_command(&UserId, BackupCommand)`, `backup_version(&UserId, Option<String>)`, `backup_sessions(&UserId, Selection) -> StoredSessions` |
//! | `dehydrated` | `set_dehydrated_device`, `remove_dehydrated_device`, `dehydrated_device`, `dehydrated_events` |
//! | `receipts` | `move_receipt(&RoomId, MoveReceipt)`, `set_read_markers(ReadMarkers)` |
//! | `deletions` | `begin_deletion(DeletionWish, by) -> String`, `deletion(id) -> DeletionStanding`, `deletion_ended(id)`, `deletions_of(&RoomId)`, `room_block(&RoomId) -> Option<String>`, `set_room_block(&RoomId, by, blocked)` |
//! | `profile` | `profile(&UserId)`, `profile_field(&UserId, name)`, `set_profile_field(&UserId, name, Option<JsonText>)` |
//! | `pushers` | `set_pusher(&UserId, Option<&DeviceId>, PusherWish)` |
//! | `delays` | `delay_event(NewDelay) -> String`, `delayed_events(&UserId)`, `delayed_event(&UserId, name)`, `restart_delayed_event`, `cancel_delayed_event`, `send_delayed_event(name) -> Outcome` |
//! | `gateway` | `gateway() -> &GatewayOffice`: `begin(carrier)`, `accept(NewPush) -> GatewayReply`, `is_rejected(device, push_id, within)` |
//! | `desks` | `desks() -> &Desks`: `put`, `get`, `change`, `take`, `count`, `attend`, `lock` of what the edges of all nodes must see and nobody writes down |
//! | `deactivate` | `deactivate(&UserId, erase)`, `reopen(&UserId, Option<String>) -> bool` |
//! | `outboxes` | `peer_alive(&ServerName)`, `destinations(after, limit) -> Vec<Destination>`, `destination(&ServerName)`, `outlook(&ServerName, Option<SentEvent>) -> Option<Outlook>`, `find_destinations(&Wanted)`, `known_destination(name)`, `rooms_of_destination(name, page, backwards)`, `retry_destination(&ServerName)` |
//! | `public_rooms` | `public_rooms(ListWish) -> ListPage` |
//! | `remote_rooms` | `public_rooms_of(&ServerName, RemoteListWish) -> RemoteListPage` |
//! | `space` | `room_summary(&OwnedRoomOrAliasId, via, Option<&UserId>) -> (RoomSummary, membership)`, `hierarchy(HierarchyWish) -> HierarchyPage` |
//! | `user_directory` | `find_users(finder, term, limit)`, `mutual_rooms(one, other)` |
//! | `media` | `quarantine_media(&MediaName, by) -> bool`, `release_media`, `quarantine_media_of_user`, `quarantine_media_in_room`, `quarantine_changes(from) -> QuarantineChanges`, `media_in_room`; `media_lists`: `media_of_user`, `unused_media`, `is_content_shared`, `is_content_named` |
//! | `purges` | `begin_purge(PurgeWish, by) -> String`, `purge_standing(id) -> PurgeAnswer`; `redacting`: `begin_redaction(RedactionWish, by) -> String`, `redaction(id) -> RedactionStanding`, `tasks() -> Tasks` |
//! | `report` | `report_room`, `report_user`, `report_event`, `reports(before, limit) -> Vec<FiledReport>`, `find_reports(&Wanted)`, `report(id)`, `delete_report(&FiledReport)` |
//! | `passes` | `make_pass(&UserId, PassKind, lifetime_ms, detail) -> String`, `look_at_pass(PassKind, token)`, `use_pass(PassKind, token)`, `end_pass`, `login_by_token(token, Login)`, `allow_cross_signing_reset`, `use_cross_signing_reset` |
//! | `oauth` | `register_client(metadata) -> String`, `client(id)`, `login_of_client(&UserId, ClientLogin)`, `grant_of_token`, `client_of_device`, `ask_for_device`, `device_wish`, `settle_device`, `poll_device` |
//! | `externals` | `user_of_external(provider, subject)`, `link_external(provider, subject, &UserId)`, `unlink_external(provider, subject)`, `externals_of(&UserId)`; sessions that began by them: `note_origin(&UserId, &DeviceId, Origin)`, `log_out_external(&LoggedOut)` |
//! | `notices` | `send_notice(Notice) -> OwnedEventId`, `tell_limit(&UserId, Option<&LimitNotice>)`, `tell_limit_soon` |
//! | `notifications` | `notifications(&UserId, NotificationsWish) -> NotificationsPage` |
//! | `room_power` | `bring_in(JoinWish, by) -> OwnedRoomId`, `make_room_admin(&RoomId, &UserId, by)`, `room_ends(&RoomId)`, `join_ends(&RoomId) -> usize` |
//! | `peer_keys` | `peer_keys(&ServerName) -> KnownKeys`, `learn_peer_keys(&ServerName, HeardKeys) -> KnownKeys` |
//! | `openid` | `openid_token(&UserId) -> (String, u64)`, `openid_user(&str) -> Option<OwnedUserId>` |
//! | `search` | `search(SearchWish) -> SearchPage` |
//! | `single_event` | `event_anywhere(Reader, &EventId) -> Bytes`, `event_as_sent(&EventId) -> Bytes` |
//! | `uploads` | `uploaded_bytes(user_id, since_ms)`, `awaited_uploads(user_id)` |
//! | `among` | its part in a cluster: `ward()`, `map()`, `does(duty)` |
//! | `active_users` | `note_active(&Session)`, `must_have_room_for_newcomer(Option<&Address>)` |
//! | `threepids` | `validation_session`, `begin_validation`, `validate`, `proven`, `use_proof`, `owner_of_threepid(&Address)`, `claim_threepid`, `release_threepid`, `threepids(&UserId)`, `register_with_threepid` |
//! | `third_party_invites` | `accept_third_party_invite(&RoomId, &UserId, SignedInvite)`, `exchange_third_party_invite(server, BoundInvite)`, `address_bound(&UserId, Vec<BoundInvite>)` |
//! | `threads` | `subscribe_thread(Reader, thread, cause) -> bool`, `unsubscribe_thread(Reader, thread)`, `thread_changes(&UserId, ThreadsWish)` |
//! | `typing` | `set_typing(&RoomId, &UserId, timeout_ms)` |
//! | `pushers` | `set_pusher(&UserId, Option<&DeviceId>, PusherWish)`, `pusher_book(&UserId) -> PusherBook` |
//! | `peer_reads` | `room_for_peer(server, &RoomId, PeerQuestion) -> PeerAnswer`, `event_for_peer`, `room_seen_by_peer`, `hierarchy_for_peer`, `devices_for_peer`, `keys_for_peer` |
//! | `elsewhere`, `remote_*` | what is asked of, and kept of, other servers and their users |
//! | `statistics` | `find_rooms(&Wanted)`, `listed_room(&RoomId)`, `room_names(room_ids)`, `devices_in_room(&RoomId)`, `largest_rooms()`, `sent_invites(&UserId, since_ms)`, `rooms_joined_since(&UserId, since_ms)`, `uploads_by_user(&Wanted)` |
//! | `presence` | `presence(asker, &UserId)`, `set_presence(&UserId, PresenceState, status_msg)`, `shares_a_room` |
//!
//! Flows answer [`HouseError`]; the edge's table maps it. `HouseError::Unreachable` is a remote server while there is no federation.

mod active_users;
mod administer;
mod admins;
mod aliases;
mod alone;
mod among;
mod aside;
mod auto_accept;
mod auto_join;
mod backfill;
mod backlog;
mod backups;
mod care;
mod chores;
mod config;
mod create_room;
mod cross_signing;
mod deactivate;
mod dehydrated;
mod delays;
mod deleting;
mod deletions;
mod desks;
mod elsewhere;
mod eraser;
mod error;
mod event_at;
mod event_journey;
mod event_keys;
mod event_pushes;
mod externals;
mod figures;
mod forgotten_rooms;
mod gateway;
mod handshakes;
mod join;
mod journey;
mod keys;
mod login;
mod media;
mod media_lists;
mod members;
mod membership;
mod notices;
mod notifications;
mod oauth;
mod open;
mod openid;
mod opening;
mod outboxes;
mod parked_pdus;
mod passes;
mod peer_keys;
mod peer_reads;
mod peers;
mod presence;
mod pretend;
mod profile;
mod public_rooms;
mod purges;
mod pushers;
mod receipts;
mod receive;
mod receive_edus;
mod receive_missing;
mod recommend;
mod recoveries;
mod redacting;
mod register;
mod remote_devices;
mod remote_keys;
mod remote_presence;
mod remote_profiles;
mod remote_rooms;
mod remote_spaces;
mod report;
mod retention;
mod room_power;
mod search;
mod send;
mod session;
mod single_event;
mod space;
mod stale_devices;
mod standing;
mod statistics;
mod sync;
mod tenants;
#[cfg(test)]
mod tests;
mod third_party_invites;
mod threads;
mod threepids;
mod to_device;
mod typing;
mod undo;
mod upgrade;
mod uploads;
mod user_directory;
mod validity;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::{address::Entity, port::LogStore};
use ruma::{OwnedDeviceId, OwnedUserId, RoomAliasId, RoomId, ServerName, UserId};

use active_users::ActiveDesk;
pub use active_users::ActiveSettings;
pub use administer::AccountWish;
use admins::Admins;
pub use admins::{Applied, Change, DryRun, MatchedInvite, PolicyWish, TokenWish};
pub use aliases::ResolvedAlias;
use alone::Mark;
use among::Among;
pub use auto_accept::{AutoAccept, AutoAcceptKind};
pub use auto_join::AutoJoin;
use backfill::Backfills;
pub use backlog::{Backlog, OldestEvent, ParkedPlace};
pub use backups::StoredSessions;
pub use care::{COMPARED_MAX, Comparison, Difference, RoomStorage, StateReason};
pub use config::HouseConfig;
pub use create_room::{MadeRoom, RoomWish};
pub use deletions::DeletionWish;
pub use desks::{Desks, Found, Held, Places};
use elsewhere::Elsewhere;
pub use error::HouseError;
pub use event_journey::{EventJourney, JOURNEY_PAGE_MAX, JourneyWish, Listener};
pub use event_pushes::EventPushes;
pub use externals::{LoggedOut, Origin};
pub use figures::Figures;
pub use gateway::{GatewayOffice, LoneGateway};
pub use handshakes::{HandedPdu, HandshakeError, Template, TemplateAsked};
pub use join::JoinWish;
use journey::Journeys;
pub use journey::{COMPLEXITY_UNIT, IncomingInvite, RemoteRooms};
pub use keys::{ChangedKeys, ClaimedKeys, FoundKeys};
pub use media::MediaName;
pub use membership::MemberWish;
use notices::Noticeboard;
pub use notices::{LimitNotice, Notice, NoticeSettings};
pub use notifications::{Notification, NotificationPlace, NotificationsPage, NotificationsWish};
use outboxes::Outboxes;
pub use peer_reads::{PeerDevices, PeerSpace};
pub use public_rooms::{ListPage, ListToken, ListWish};
use purges::PurgeBells;
pub use purges::{PurgeEnd, PurgeWish};
pub use pushers::PusherWish;
use pushers::Pushes;
pub use receipts::ReadMarkers;
pub use receive::PduOutcome;
pub use receive_edus::ReceivedEdu;
pub use redacting::RedactionWish;
pub use register::{MadeAccount, NewAccount};
pub use remote_keys::Failures;
pub use remote_rooms::{RemoteListPage, RemoteListWish};
pub use search::{SearchPage, SearchWish};
pub use session::Sighting;
pub use space::{HierarchyPage, HierarchyWish, SeenRoom};
pub use stale_devices::StaleDeviceSettings;
pub use statistics::RoomNames;
pub use third_party_invites::{BoundInvite, SignedInvite};
pub use threads::ThreadsWish;
pub use threepids::ValidationWish;
pub use to_device::ToDeviceWish;
pub use undo::Undo;
pub use upgrade::UpgradeWish;
pub use validity::Renewal;

use crate::{
    alias::{Alias, AliasAnswer, AliasCommand, AliasError, AliasQuery, AliasReply},
    backup::Backup,
    delays::Delays,
    env::Env,
    externals::External,
    followers::{models::Models, task::Running},
    kernel::Directory,
    media::{Media, ledger::QuarantineLedger},
    oauth::Oauth,
    passes::Passes,
    peer_keys::PeerKeys,
    purges::{BlockBoard, Purges},
    registration::{
        Registration, RegistrationAnswer, RegistrationCommand, RegistrationError,
        RegistrationQuery, RegistrationReply, RegistrationSignal,
    },
    reports::Reports,
    room::{Room, RoomAnswer, RoomCommand, RoomError, RoomQuery, RoomReply, RoomSignal},
    threepid::Threepid,
    user::{
        SessionCache, User, UserAnswer, UserCommand, UserError, UserQuery, UserReply, UserSignal,
        password::Passwords,
    },
    writers::{Pools, Tail},
};

/// All actors of a node.
pub struct House {
    env: Env,
    config: HouseConfig,
    store: Arc<dyn LogStore>,
    pools: Arc<Pools>,
    among: Option<Among>,
    mark: Option<Mark>,
    rooms: Arc<Directory<Room>>,
    users: Arc<Directory<User>>,
    aliases: Arc<Directory<Alias>>,
    backups: Arc<Directory<Backup>>,
    media: Arc<Directory<Media>>,
    quarantine: Arc<Directory<QuarantineLedger>>,
    registration: Arc<Directory<Registration>>,
    active: ActiveDesk,
    admins: Admins,
    reports: Arc<Directory<Reports>>,
    delays: Arc<Directory<Delays>>,
    gateway: Arc<GatewayOffice>,
    purges: Arc<Directory<Purges>>,
    blocks: Arc<BlockBoard>,
    purge_bells: Arc<PurgeBells>,
    passes: Arc<Directory<Passes>>,
    oauth: Arc<Directory<Oauth>>,
    threepids: Arc<Directory<Threepid>>,
    externals: Arc<Directory<External>>,
    peer_keys: Arc<Directory<PeerKeys>>,
    outboxes: Option<Outboxes>,
    pushes: Option<Pushes>,
    elsewhere: Elsewhere,
    models: Arc<Models>,
    followers: Vec<Running>,
    sessions: Arc<SessionCache>,
    passwords: Passwords,
    seen: Mutex<BTreeMap<(OwnedUserId, OwnedDeviceId), u64>>,
    journeys: Journeys,
    notices: Noticeboard,
    backfills: Backfills,
    desks: Desks,
    runtime: tokio::runtime::Handle,
    myself: Weak<House>,
}

impl House {
    /// Clock, randomness, identity.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// What it was opened with.
    pub fn config(&self) -> &HouseConfig {
        &self.config
    }

    /// The store, for read models and the metrics.
    pub fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// Whether a server name is ours.
    pub fn is_local(&self, server_name: &ServerName) -> bool {
        self.env.server_name() == server_name
    }

    /// The read models, for queries and how far they are.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// What the writers have committed, as it comes.
    pub fn tail(&self) -> Arc<Tail> {
        self.pools.tail()
    }

    /// The writers, for the metrics and health.
    pub fn pools(&self) -> &Arc<Pools> {
        &self.pools
    }

    /// Tells a room to do something. `Ok` means that it is durable.
    pub async fn room_command(
        &self,
        room_id: &RoomId,
        command: RoomCommand,
    ) -> Result<RoomReply, RoomError> {
        let entity = Entity::room(room_id.as_str());
        let repeated = command.may_depend_on_members().then(|| command.clone());
        let done = self.rooms.command(entity.clone(), command).await;
        let done = match (done, repeated) {
            (Err(RoomError::PartialState), Some(command)) => {
                self.known_whole(room_id).await;
                self.rooms.command(entity, command).await
            }
            (done, _) => done,
        };
        match done {
            Err(RoomError::Unrecommended(draft)) => self.send_recommended(room_id, *draft).await,
            done => done,
        }
    }

    /// Asks a room.
    pub async fn room_query(
        &self,
        room_id: &RoomId,
        query: RoomQuery,
    ) -> Result<RoomAnswer, RoomError> {
        let entity = Entity::room(room_id.as_str());
        let repeated = query.may_depend_on_members().then(|| query.clone());
        match (self.rooms.query(entity.clone(), query).await, repeated) {
            (Err(RoomError::PartialState), Some(query)) => {
                self.known_whole(room_id).await;
                self.rooms.query(entity, query).await
            }
            (answered, _) => answered,
        }
    }

    /// Lets a room hear something.
    pub fn room_signal(&self, room_id: &RoomId, signal: RoomSignal) {
        self.rooms.signal(&Entity::room(room_id.as_str()), signal);
    }

    /// Tells a local user to do something. `Ok` means that it is durable. Remote users are unknown users.
    pub async fn user_command(
        &self,
        user_id: &UserId,
        command: UserCommand,
    ) -> Result<UserReply, UserError> {
        if !self.is_local(user_id.server_name()) {
            return Err(UserError::UnknownUser);
        }
        let entity = Entity::user(user_id.as_str());
        self.users.command(entity, command).await
    }

    /// Asks a local user. A [`UserQuery::Sync`] or [`UserQuery::SlidingSync`] may wait as long as it says.
    pub async fn user_query(
        &self,
        user_id: &UserId,
        query: UserQuery,
    ) -> Result<UserAnswer, UserError> {
        if !self.is_local(user_id.server_name()) {
            return Err(UserError::UnknownUser);
        }
        let entity = Entity::user(user_id.as_str());
        let patience_ms = match &query {
            UserQuery::Sync(sync) => sync.timeout_ms,
            UserQuery::SlidingSync(sync) => sync.timeout_ms,
            _ => 0,
        };
        let timeout_ms = self
            .config
            .users
            .call_timeout_ms
            .saturating_add(patience_ms);
        let within = Duration::from_millis(timeout_ms);
        if patience_ms > 0 {
            return self.ask_waiting(&self.users, (entity, query), within).await;
        }
        self.users.query_within(entity, query, within).await
    }

    /// Lets a local user hear something, if awake.
    pub fn user_signal(&self, user_id: &UserId, signal: UserSignal) {
        let entity = Entity::user(user_id.as_str());
        self.users.signal_if_awake(&entity, signal);
    }

    /// Does something with registration tokens.
    pub async fn registration_command(
        &self,
        command: RegistrationCommand,
    ) -> Result<RegistrationReply, RegistrationError> {
        let entity = Entity::house("registration");
        self.registration.command(entity, command).await
    }

    /// Asks about registration tokens.
    pub async fn registration_query(
        &self,
        query: RegistrationQuery,
    ) -> Result<RegistrationAnswer, RegistrationError> {
        let entity = Entity::house("registration");
        self.registration.query(entity, query).await
    }

    fn registration_signal(&self, signal: RegistrationSignal) {
        let entity = Entity::house("registration");
        self.registration.signal_if_awake(&entity, signal);
    }

    async fn alias_command(
        &self,
        alias: &RoomAliasId,
        command: AliasCommand,
    ) -> Result<AliasReply, AliasError> {
        let entity = Entity::alias(alias.as_str());
        self.aliases.command(entity, command).await
    }

    async fn alias_query(
        &self,
        alias: &RoomAliasId,
        query: AliasQuery,
    ) -> Result<AliasAnswer, AliasError> {
        let entity = Entity::alias(alias.as_str());
        self.aliases.query(entity, query).await
    }

    /// Lets something go on that nobody waits for.
    fn background(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }
}

/// An actor gave an answer that does not fit the question: a mistake in this program.
fn surprise(question: &'static str) -> HouseError {
    tracing::error!(question, "an actor's answer does not fit the question");
    HouseError::Broken(format!("no fitting answer to {question}"))
}

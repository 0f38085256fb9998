//! What a house is opened with.

use std::{collections::BTreeSet, time::Duration};

use ruma::{OwnedUserId, RoomVersionId};

use super::{
    ActiveSettings, AutoAccept, AutoJoin, NoticeSettings, RemoteRooms, StaleDeviceSettings,
};
use crate::{
    cluster::ClusterConfig,
    delays::DelaySettings,
    env::Env,
    gateway::GatewaySettings,
    kernel::DirectoryLimits,
    pushers::PushSettings,
    room::retention::RetentionSettings,
    server::OutboxSettings,
    user::{UserLimits, password::PasswordSettings},
    writers::PoolLimits,
};

/// What a house is opened with.
#[derive(Clone)]
pub struct HouseConfig {
    /// Clock, randomness, identity.
    pub env: Env,
    /// The version of rooms whose maker names none.
    pub default_room_version: RoomVersionId,
    /// Bounds of the rooms awake.
    pub rooms: DirectoryLimits,
    /// Bounds of the users awake.
    pub users: DirectoryLimits,
    /// How much waits for the writers, and goes into one transaction.
    pub writers: PoolLimits,
    /// How much a user may keep.
    pub user_limits: UserLimits,
    /// How passwords are hashed.
    pub passwords: PasswordSettings,
    /// So many sessions are remembered without asking their users.
    pub sessions_max: usize,
    /// What may be sent later.
    pub delays: DelaySettings,
    /// How much the push gateway keeps, where there is one.
    pub gateway: GatewaySettings,
    /// Messages are indexed for searching.
    pub search: bool,
    /// How long events are kept.
    pub retention: RetentionSettings,
    /// So many records are replaced in a second at most, where many are.
    pub erasures_per_second: u64,
    /// Which devices are removed because nobody uses them.
    pub stale_devices: StaleDeviceSettings,
    /// Who counts as active, and how many may.
    pub active_users: ActiveSettings,
    /// How other servers are sent what is for them.
    pub outbox: OutboxSettings,
    /// Rooms into which new accounts come.
    pub auto_join: AutoJoin,
    /// Invites that are accepted for their users.
    pub auto_accept: AutoAccept,
    /// Which rooms of other servers are joined.
    pub remote_rooms: RemoteRooms,
    /// Rooms are forgotten as soon as they are left (MSC4267).
    pub forget_on_leave: bool,
    /// Who is told of everybody's presence. Users of other servers may be among them.
    pub presence_observers: BTreeSet<OwnedUserId>,
    /// Rooms that all users of this server have left and forgotten are deleted after so long; `None`: never.
    pub forgotten_rooms_ms: Option<u64>,
    /// How the server tells its users something; `None`: it does not.
    pub notices: Option<NoticeSettings>,
    /// How users are pushed to; `None`: nobody is now, and who is later goes on where the last one was.
    pub pushes: Option<PushSettings>,
    /// What operators recognise this process by.
    pub called: String,
    /// What makes it one of several nodes; `None`: it is alone.
    pub cluster: Option<ClusterConfig>,
    /// What does not end within this time when its shard goes to another node is cut off: nobody serves the shard meanwhile.
    pub release_within: Duration,
}

impl HouseConfig {
    /// Defaults for a single node.
    pub fn new(env: Env) -> Self {
        Self {
            env,
            default_room_version: RoomVersionId::V12,
            rooms: DirectoryLimits::default(),
            users: DirectoryLimits::default(),
            writers: PoolLimits::default(),
            user_limits: UserLimits::default(),
            passwords: PasswordSettings::default(),
            sessions_max: 100_000,
            delays: DelaySettings::default(),
            gateway: GatewaySettings::default(),
            search: true,
            retention: RetentionSettings::default(),
            erasures_per_second: 10_000,
            stale_devices: StaleDeviceSettings::default(),
            active_users: ActiveSettings::default(),
            outbox: OutboxSettings::default(),
            auto_join: AutoJoin::default(),
            auto_accept: AutoAccept::default(),
            remote_rooms: RemoteRooms::default(),
            forget_on_leave: false,
            presence_observers: BTreeSet::new(),
            forgotten_rooms_ms: None,
            notices: None,
            pushes: None,
            called: format!("process {}", std::process::id()),
            cluster: None,
            release_within: Duration::from_secs(2),
        }
    }
}

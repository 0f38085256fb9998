//! What all users of a node share, and how much a user may keep.

use std::{collections::BTreeSet, sync::Arc};

use playhouse_schema::port::LogStore;
use ruma::{OwnedRoomId, UserId};

use super::{
    feed::surroundings::{Board, Sources},
    sessions::SessionCache,
};
use crate::env::Env;

/// What all users of a node share.
pub struct UserContext {
    /// Clock, randomness, identity.
    pub env: Env,
    /// For reading the log.
    pub store: Arc<dyn LogStore>,
    /// How much a user may keep.
    pub limits: UserLimits,
    /// Sessions that endpoints may take for granted without asking the user.
    pub sessions: Arc<SessionCache>,
    /// Where records are announced to the users they concern.
    pub board: Arc<dyn Board>,
    /// What feeds read of rooms and models.
    pub sources: Arc<dyn Sources>,
    /// Hears who has pushers.
    pub pushers: Arc<dyn PusherEar>,
}

/// Hears who has pushers.
pub trait PusherEar: Send + Sync + 'static {
    /// A user of this node has a pusher, or has changed one. It is not durable yet; a question to the user tells when it is.
    fn pusher_set(&self, user_id: &UserId);

    /// What counts has changed for a user of this node who has pushers: push rules, who is ignored, or which invites are hidden. Not durable yet either.
    fn rules_changed(&self, user_id: &UserId);
}

/// Nobody is pushed to.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPushers;

impl PusherEar for NoPushers {
    fn pusher_set(&self, _user_id: &UserId) {}

    fn rules_changed(&self, _user_id: &UserId) {}
}

/// How much a user may keep, and how long tokens live.
#[derive(Clone, Debug)]
pub struct UserLimits {
    /// Devices.
    pub devices_max: usize,
    /// One piece of account data.
    pub account_data_bytes_max: usize,
    /// All account data.
    pub account_data_total_bytes_max: usize,
    /// Tags of one room.
    pub tags_max: usize,
    /// Pushers.
    pub pushers_max: usize,
    /// Filters.
    pub filters_max: usize,
    /// One filter.
    pub filter_bytes_max: usize,
    /// Rooms that are remembered as forgotten.
    pub forgotten_rooms_max: usize,
    /// One-time keys of a device that wait to be claimed.
    pub one_time_keys_max: usize,
    /// One-time keys that a device may have uploaded in its life: their names are kept, so that none is given out twice.
    pub key_ids_max: usize,
    /// One key, identity keys included.
    pub key_bytes_max: usize,
    /// Keys, own and others', with signatures of this user: one of each user that was verified, and one of each device.
    pub signed_keys_max: usize,
    /// Signed keys in one upload: each costs a verification.
    pub signatures_per_upload_max: usize,
    /// To-device messages that wait for one device.
    pub inbox_messages_max: usize,
    /// Their bytes.
    pub inbox_bytes_max: usize,
    /// One to-device message.
    pub to_device_bytes_max: usize,
    /// Access tokens of refreshing clients live so long, milliseconds, when they are renewed.
    pub access_lifetime_ms: u64,
    /// Refresh tokens live so long, milliseconds; `None` until they are used.
    pub refresh_lifetime_ms: Option<u64>,
    /// New accounts end after so long, milliseconds; `None` never.
    pub account_period_ms: Option<u64>,
    /// Rooms of which syncs tell nothing.
    pub silent_rooms: Arc<BTreeSet<OwnedRoomId>>,
}

impl Default for UserLimits {
    fn default() -> Self {
        Self {
            devices_max: 10_000,
            account_data_bytes_max: 64 * 1024,
            account_data_total_bytes_max: 16 * 1024 * 1024,
            tags_max: 100,
            pushers_max: 100,
            filters_max: 500,
            filter_bytes_max: 16 * 1024,
            forgotten_rooms_max: 20_000,
            one_time_keys_max: 1_000,
            key_ids_max: 500_000,
            key_bytes_max: 16 * 1024,
            signed_keys_max: 20_000,
            signatures_per_upload_max: 1_000,
            inbox_messages_max: 5_000,
            inbox_bytes_max: 8 * 1024 * 1024,
            to_device_bytes_max: 64 * 1024,
            access_lifetime_ms: 5 * 60 * 1000,
            refresh_lifetime_ms: None,
            account_period_ms: None,
            silent_rooms: Arc::default(),
        }
    }
}

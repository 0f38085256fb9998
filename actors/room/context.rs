//! What all rooms of a node share, and what a room keeps that is not worth a record.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::{Family, Position, Shard},
    port::LogStore,
};
use ruma::{OwnedRoomId, OwnedUserId};

use super::{Room, held::HeldReceipts, receive::Memory, retention::RetentionSettings};
use crate::env::Env;

/// What all rooms of a node share.
pub struct RoomContext {
    /// Clock, randomness, identity.
    pub env: Env,
    /// For reading history.
    pub store: Arc<dyn LogStore>,
    /// How long events are kept.
    pub retention: RetentionSettings,
    /// Hears who types.
    pub typing: Arc<dyn TypingListener>,
    /// Knows how far the read models are.
    pub models: Arc<dyn Folded>,
    /// Receipts that wait for what they rest on.
    pub held_receipts: Arc<HeldReceipts>,
}

/// Knows how far the read models have come.
pub trait Folded: Send + Sync + 'static {
    /// What this model's tables contain of a shard: everything up to this position, and perhaps more. 0 for a model that is not kept here.
    fn folded(&self, model: &'static str, shard: Shard) -> Position;

    /// Somebody waits for a model to come further in a family.
    fn urge(&self, _model: &'static str, _family: Family) {}
}

impl RoomContext {
    /// Events of a room sent before this time have expired; 0 when none does.
    pub(crate) fn expired_before_ms(&self, room: &Room) -> u64 {
        self.retention.expired_before_ms(room, self.env.now_ms())
    }
}

/// Hears who types where.
pub trait TypingListener: Send + Sync + 'static {
    /// The users that type in a room have changed to these.
    fn typing_changed(&self, room_id: &OwnedRoomId, users: Vec<OwnedUserId>);
}

/// What a room keeps that is not worth a record.
#[derive(Default)]
pub struct RoomLive {
    /// Who types, and until when (milliseconds since the Unix epoch).
    pub typing: BTreeMap<OwnedUserId, u64>,
    /// Held while events of other servers are taken in: one list at a time.
    pub receiving: Arc<tokio::sync::Mutex<Memory>>,
    /// When a timer will next look at `typing`; 0 when none runs.
    pub typing_timer_ms: u64,
}

//! What lives in the shards of this node: how it begins when one comes, and ends when one goes.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use playhouse_schema::{
    address::{Entity, Family, Shard},
    register::Claim,
};
use ruma::{UserId, presence::PresenceState};

use super::{House, among::lies_in, purges::purges};
use crate::{
    cluster::{Facts, Map, Scales, Tenants},
    delays::{DelayBoard, SCHEDULES, schedule},
    gateway::{GatewayBoard, OUTBOXES, outbox},
    kernel::Served,
    purges::BlockBoard,
    user::message::Presence,
    writers::Pools,
};

/// A writer that the database does not answer is not waited for longer.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// One writer that the database does not answer must not keep the shards of the others from being served.
const TAKE_WITHIN: Duration = Duration::from_secs(5);

/// Who was cut off has gone after so long.
const ABANDON_WITHIN: Duration = Duration::from_secs(1);

/// Whoever is still there has synced again this long after a move.
const PRESENCE_AFTER: Duration = Duration::from_secs(60);

/// What is known of shards outside of their actors.
pub(super) struct Boards {
    /// Of schedules.
    pub(super) delays: Arc<DelayBoard>,
    /// Of outboxes of the push gateway.
    pub(super) gateway: Arc<GatewayBoard>,
    /// Of rooms that are kept out.
    pub(super) blocks: Arc<BlockBoard>,
}

/// See the module's documentation.
pub(super) struct HouseTenants {
    pub(super) pools: Arc<Pools>,
    pub(super) map: Arc<Map>,
    /// All kinds of actors.
    pub(super) served: Vec<Arc<dyn Served>>,
    pub(super) scales: Arc<Scales>,
    pub(super) house: Weak<House>,
    pub(super) boards: Boards,
    /// What does not end within this time is cut off.
    pub(super) release_within: Duration,
}

impl HouseTenants {
    /// Takes the log of a claimed shard; `Some` when that is refused.
    async fn refuses(&self, claim: &Claim) -> Option<Shard> {
        let shard = claim.shard;
        let taken = self.pools.take(std::slice::from_ref(claim));
        match tokio::time::timeout(TAKE_WITHIN, taken).await {
            Ok(refused) => {
                let (shard, error) = refused.into_iter().next()?;
                tracing::warn!(%shard, %error, "cannot take the log of a shard");
            }
            // If it comes to it later, the next claim is above it.
            Err(_) => tracing::warn!(%shard, "cannot take the log of a shard in time"),
        }
        Some(shard)
    }

    async fn cut_off(&self, shard: Shard) {
        for kind in &self.served {
            kind.abandon(shard);
        }
        let gone = self.served.iter();
        let gone = gone.map(|kind| kind.release(shard, ABANDON_WITHIN));
        if join_all(gone).await.contains(&false) {
            tracing::error!(%shard, "actors that were cut off have not ended");
        }
    }

    async fn left(&self, shard: Shard) {
        let layout = self.house.upgrade().map(|house| house.store.layout());
        if let Some(layout) = layout.filter(|_| shard.family == Family::Servers) {
            let schedules = 0..SCHEDULES;
            let of_shard = schedules.filter(|one| lies_in(layout, &schedule(*one), shard));
            of_shard.for_each(|number| self.boards.delays.forget(number));
            let outboxes = 0..OUTBOXES;
            let of_shard = outboxes.filter(|one| lies_in(layout, &outbox(*one), shard));
            of_shard.for_each(|number| self.boards.gateway.forget(number));
            if lies_in(layout, &purges(), shard) {
                self.boards.blocks.forget();
            }
        }
        if let Some(house) = self.house.upgrade() {
            house.shard_left(shard).await;
        }
        let gone = tokio::time::timeout(LET_GO_WITHIN, self.pools.let_go(shard)).await;
        match gone {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%shard, %error, "the writer does not let go of a shard");
            }
            // What it still does is fenced off by the next claim.
            Err(_) => tracing::warn!(%shard, "the writer does not let go of a shard in time"),
        }
    }
}

impl Tenants for HouseTenants {
    fn begin<'a>(&'a self, claims: &'a [Claim]) -> BoxFuture<'a, Vec<Shard>> {
        Box::pin(async move {
            let takes = claims.iter().map(|claim| self.refuses(claim));
            let refused: Vec<_> = join_all(takes).await.into_iter().flatten().collect();
            let taken = claims.iter().map(|claim| claim.shard);
            let taken: Vec<_> = taken.filter(|shard| !refused.contains(shard)).collect();
            if let Some(house) = self.house.upgrade() {
                house.shards_taken(taken);
            }
            refused
        })
    }

    fn end(&self, shard: Shard) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let ends = self.served.iter();
            let ends = ends.map(|kind| kind.release(shard, self.release_within));
            if join_all(ends).await.contains(&false) {
                self.cut_off(shard).await;
            }
            self.left(shard).await;
        })
    }

    fn abandon(&self, shard: Shard) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.cut_off(shard).await;
            self.left(shard).await;
        })
    }

    fn lost(&self) -> Vec<Shard> {
        self.pools.fenced_shards()
    }

    fn facts(&self) -> Facts {
        let loads = self.scales.loads(&self.map.served()).into_iter();
        let queues = self.pools.queued_records().into_iter();
        Facts {
            loads: loads
                .map(|(shard, load)| (shard.to_string(), load))
                .collect(),
            queues: queues
                .map(|(family, writers)| (family.name().to_owned(), writers))
                .collect(),
            lags: self.pools.tail().lags(),
            hot: self.scales.hottest(),
            ..Facts::default()
        }
    }
}

impl House {
    /// Shards have come to this node; in a moment they are served.
    fn shards_taken(self: &Arc<Self>, shards: Vec<Shard>) {
        let of = |family| {
            let of_family = shards.iter().filter(|shard| shard.family == family);
            of_family.copied().collect::<Vec<_>>()
        };
        let rooms = of(Family::Rooms);
        if !rooms.is_empty() && self.env.network.is_on() {
            self.complete_rooms_in(rooms);
        }
        let users = of(Family::Users);
        if !users.is_empty() {
            self.correct_presence(users);
        }
        if let Some(outboxes) = &self.outboxes {
            let servers = of(Family::Servers);
            servers.iter().for_each(|shard| outboxes.taken(*shard));
        }
    }

    /// A shard has left this node, and its actors have gone.
    async fn shard_left(&self, shard: Shard) {
        match shard.family {
            Family::Rooms => {
                self.elsewhere.board.hush(shard);
                self.send_held_receipts(shard);
            }
            // Others may end sessions from now on.
            Family::Users => self.sessions.clear(),
            Family::Servers => {
                if let Some(outboxes) = &self.outboxes {
                    outboxes.left(&*self.store, shard).await;
                }
            }
        }
    }

    /// Who was present when a shard came here and has not been seen since is gone.
    fn correct_presence(self: &Arc<Self>, shards: Vec<Shard>) {
        let house = Arc::downgrade(self);
        self.background(async move {
            tokio::time::sleep(PRESENCE_AFTER).await;
            let Some(house) = house.upgrade() else {
                return;
            };
            let layout = house.store.layout();
            for user_id in house.elsewhere.board.present() {
                let entity = Entity::user(user_id.as_str());
                let is_ours = house.is_local(user_id.server_name()) && house.is_here(&entity);
                if is_ours && shards.contains(&layout.shard_of(&entity)) {
                    house.correct_presence_of(&user_id).await;
                }
            }
        });
    }

    async fn correct_presence_of(&self, user_id: &UserId) {
        let told = self.presence(user_id, user_id).await;
        let is_gone = |presence: &Presence| presence.presence == PresenceState::Offline;
        if let Some(presence) = told.ok().filter(is_gone) {
            self.announce_other(user_id, presence).await;
        }
    }
}

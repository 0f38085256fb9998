//! The house as one of several nodes: what it is opened with then, how it joins the others, and how it leaves them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Family, Layout, Shard},
    port::{LogStore, StoreError},
    register::Register,
};
use tokio::{sync::watch, time::Instant};

use super::{
    House, HouseConfig,
    tenants::{Boards, HouseTenants},
};
use crate::{
    cluster::{
        Bell, ClusterConfig, Courier, Duty, Gate, Herald, Map, Scales, Tenants, Ward, WardSettings,
        duty::shard_of_name,
    },
    followers::{
        feeds::abroad::{ears, voices},
        models::Abroad,
        task::Running,
    },
    kernel::{Directory, Place, Routes as _, Served, Ways},
    user::{User, UserAnswer, UserError, UserQuery},
    writers::Tail,
};

/// What other nodes have written and not told is looked for so often.
const CATCH_UP_EVERY: Duration = Duration::from_secs(1);

/// What spares the first ones a wait is not waited for any longer itself.
const WARM_WITHIN: Duration = Duration::from_secs(2);

/// A name that another life of this node still has is asked for again after so long.
const JOIN_AGAIN: Duration = Duration::from_millis(200);

/// An earlier life of this node, which died, has its lease no longer than so many leases.
const JOIN_LEASES: u32 = 3;

/// This house among others.
pub(super) struct Among {
    settings: ClusterConfig,
    register: Arc<dyn Register>,
    layout: Layout,
    map: Arc<Map>,
    courier: Arc<Courier>,
    scales: Arc<Scales>,
    ward: OnceLock<Arc<Ward>>,
    beating: Mutex<Option<Running>>,
    /// What else goes on for as long as there is the house.
    going_on: Mutex<Vec<Running>>,
    closing: watch::Sender<bool>,
}

impl Among {
    /// What a house needs that is one of several; `None` when it is alone.
    pub(super) fn of(
        store: &Arc<dyn LogStore>,
        config: &HouseConfig,
    ) -> Result<Option<Self>, StoreError> {
        let Some(settings) = config.cluster.clone() else {
            return Ok(None);
        };
        let one_node = || {
            let why = "this database is for one node: several share one of PostgreSQL";
            StoreError::Incompatible(why.to_owned())
        };
        let courier = Arc::new(Courier(settings.wire.clone()));
        Ok(Some(Self {
            register: store.register().ok_or_else(one_node)?,
            layout: store.layout(),
            map: Arc::new(Map::new(settings.name.clone()).with_roles(settings.roles.clone())),
            scales: Arc::new(Scales::before(courier.clone())),
            courier,
            settings,
            ward: OnceLock::new(),
            beating: Mutex::default(),
            going_on: Mutex::default(),
            closing: watch::Sender::new(false),
        }))
    }

    /// The surroundings of directories.
    pub(super) fn ways(&self) -> Ways {
        Ways::Cluster {
            routes: self.map.clone(),
            link: self.courier.clone(),
        }
    }

    /// The surroundings of read models.
    pub(super) fn abroad(&self) -> Abroad {
        Abroad {
            routes: self.map.clone(),
            courier: self.courier.clone(),
        }
    }

    /// What hears of this node's commits.
    pub(super) fn relay(&self) -> Arc<Scales> {
        self.scales.clone()
    }

    /// Where shards are served.
    pub(super) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// How many shards there are.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Does something whenever it falls to this node.
    pub(super) fn attend(&self, duty: Duty<Running>) -> Running {
        let map = self.map.clone();
        Running::start(|mut stop| Box::pin(async move { duty.attend(map, stop.told()).await }))
    }

    /// Ends when the house closes.
    async fn closes(&self) {
        let mut closing = self.closing.subscribe();
        let _ = closing.wait_for(|closes| *closes).await;
    }

    /// The house closes: who waits here for something on another node is answered.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Takes the house's place among the nodes.
    pub(super) async fn join(
        &self,
        house: &Arc<House>,
        served: Vec<Arc<dyn Served>>,
        boards: Boards,
    ) -> Result<(), StoreError> {
        let bell = Arc::<Bell>::default();
        let (tail, board) = (house.pools.tail(), &house.elsewhere.board);
        let gate = Gate::new(
            served.iter().cloned(),
            self.map.clone(),
            tail.clone(),
            bell.clone(),
        );
        let gate = gate.heard_by(house.models.ears()).heard_by(ears(board));
        let (voices, speaking) = voices(&self.courier);
        board.tell_abroad(voices);
        self.settings.wire.open(Arc::new(gate));
        let tenants = HouseTenants {
            pools: house.pools.clone(),
            map: self.map.clone(),
            served,
            scales: self.scales.clone(),
            house: Arc::downgrade(house),
            boards,
            release_within: house.config.release_within,
        };
        // What comes here first finds connections: somebody waits for it.
        match tokio::time::timeout(WARM_WITHIN, house.store.warm()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "no connections are opened beforehand"),
            Err(_) => tracing::warn!("connections are not opened beforehand in time"),
        }
        let ward = self.find_place(Arc::new(tenants), bell).await?;
        let beats = ward.clone();
        *self.beating.lock() = Some(Running::start(|mut stop| {
            Box::pin(async move {
                let (_stop, stopped) = watch::channel(false);
                tokio::select! {
                    () = beats.run(stopped) => {}
                    () = stop.told() => {}
                }
            })
        }));
        let living = ward.view();
        let board = board.clone();
        *self.going_on.lock() = vec![
            speaking,
            catching_up(tail),
            Running::start(|mut stop| {
                Box::pin(async move {
                    while stop.pause(CATCH_UP_EVERY).await {
                        let view = living.borrow().clone();
                        board.forget_the_dead(&view.nodes);
                    }
                })
            }),
        ];
        let _ = self.ward.set(ward);
        Ok(())
    }

    async fn find_place(
        &self,
        tenants: Arc<HouseTenants>,
        bell: Arc<Bell>,
    ) -> Result<Arc<Ward>, StoreError> {
        let settings = WardSettings {
            name: self.settings.name.clone(),
            address: self.settings.address.clone(),
            roles: self.settings.roles.clone(),
            lease: self.settings.lease,
            beat: self.settings.beat,
        };
        let deadline = Instant::now() + self.settings.lease * JOIN_LEASES;
        loop {
            let tenants: Arc<dyn Tenants> = tenants.clone();
            let herald: Arc<dyn Herald> = self.courier.clone();
            let place = (tenants, herald, bell.clone());
            let (register, map) = (self.register.clone(), self.map.clone());
            match Ward::join(register, map, place, settings.clone()).await {
                Err(StoreError::Locked(why)) if Instant::now() < deadline => {
                    tracing::info!(%why, "waiting until this node's name is free");
                    tokio::time::sleep(JOIN_AGAIN).await;
                }
                joined => return joined,
            }
        }
    }

    /// Gives everything to the other nodes.
    pub(super) async fn leave(&self, within: Duration) {
        let beating = self.beating.lock().take();
        if let Some(beating) = beating {
            beating.stop(within).await;
        }
        if let Some(ward) = self.ward.get()
            && let Err(error) = ward.leave(within).await
        {
            tracing::warn!(%error, "cannot leave the cluster, others take over when the lease ends");
        }
        let going_on = std::mem::take(&mut *self.going_on.lock());
        for running in going_on {
            running.stop(within).await;
        }
    }
}

fn catching_up(tail: Arc<Tail>) -> Running {
    Running::start(|mut stop| {
        Box::pin(async move {
            while stop.pause(CATCH_UP_EVERY).await {
                for family in Family::ALL {
                    if let Err(error) = tail.catch_up(family).await {
                        tracing::warn!(%family, %error, "cannot see what other nodes have written");
                    }
                }
            }
        })
    })
}

impl House {
    /// Its part in a cluster; `None` when it is alone, or has not joined yet.
    pub fn ward(&self) -> Option<&Arc<Ward>> {
        self.among.as_ref()?.ward.get()
    }

    /// Where shards are served; `None` when it is alone.
    pub fn map(&self) -> Option<&Arc<Map>> {
        self.among.as_ref().map(Among::map)
    }

    /// Whether something that one node at a time does, of those that have a role, falls to this one now. For a moment two may think so.
    pub fn does(&self, duty: &str, role: &str) -> bool {
        let Some(among) = &self.among else {
            return true;
        };
        let shard = shard_of_name(among.layout, Family::Servers, duty);
        among.map.does(shard, (duty, role))
    }

    /// Whether an entity is served on this node, and its lease runs.
    pub(super) fn is_here(&self, entity: &Entity) -> bool {
        let Some(among) = &self.among else {
            return true;
        };
        among.map.place(among.layout.shard_of(entity)) == Place::Here
    }

    /// Asks a user something that waits for news. When this node closes meanwhile it is asked for what there is.
    pub(super) async fn ask_waiting(
        &self,
        users: &Directory<User>,
        (entity, query): (Entity, UserQuery),
        within: Duration,
    ) -> Result<UserAnswer, UserError> {
        let Some(among) = &self.among else {
            return users.query_within(entity, query, within).await;
        };
        let mut at_once = query.clone();
        match &mut at_once {
            UserQuery::Sync(sync) => sync.timeout_ms = 0,
            UserQuery::SlidingSync(sync) => sync.timeout_ms = 0,
            _ => return users.query_within(entity, query, within).await,
        }
        tokio::select! {
            biased;
            answer = users.query_within(entity.clone(), query, within) => answer,
            () = among.closes() => users.query(entity, at_once).await,
        }
    }
}

/// The shards of a house that an entity may lie in.
pub(super) fn lies_in(layout: Layout, entity: &Entity, shard: Shard) -> bool {
    layout.shard_of(entity) == shard
}

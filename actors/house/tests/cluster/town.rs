//! The houses, and who lives there.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use playhouse_schema::{
    address::{Family, Shard},
    port::LogStore,
    register::NodeName,
};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cluster::{
        ClusterConfig, roles,
        tests::net::{Net, SimWire},
    },
    env::Env,
    house::{
        House, HouseError, NewAccount,
        tests::{config, env, store},
    },
    kernel::{Place, Routes as _, memory::MemoryStore},
    network::Network,
    pushers::PushSettings,
    user::message::{Login, SyncQuery},
};

/// So long that a machine which stalls does not lose it by the way. Nobody waits for its end: who is killed is buried.
const LEASE: Duration = Duration::from_secs(60);

/// Nobody is cut off because the machine stalls.
const RELEASE_WITHIN: Duration = Duration::from_secs(20);

const BEAT: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(120);

/// What the houses share.
pub(super) struct Town {
    pub(super) store: Arc<MemoryStore>,
    pub(super) net: Arc<Net>,
    env: Env,
    /// How nodes that come from now on push.
    pub(super) pushes: Option<PushSettings>,
    _models: (TempDir, Arc<dyn LogStore>),
}

/// A house of the town.
pub(super) struct Node {
    pub(super) house: Arc<House>,
    pub(super) name: NodeName,
    wire: Arc<SimWire>,
}

pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Town {
    pub(super) async fn new() -> Self {
        Self::of_shards(8).await
    }

    /// A town whose log has so many shards in each family.
    pub(super) async fn of_shards(shards: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models = store(folder.path()).await;
        let log = MemoryStore::with(shards, 1);
        log.share(models.models());
        Self {
            store: log,
            net: Arc::default(),
            env: env(),
            pushes: None,
            _models: (folder, models),
        }
    }

    /// There are other servers, too.
    pub(super) async fn among_others(others: Arc<dyn Network>) -> Self {
        let mut town = Self::new().await;
        town.env = town.env.with_network(others);
        town
    }

    pub(super) async fn node(&self, name: &str) -> Node {
        self.node_for(name, &roles::ROLES).await
    }

    /// A node for some roles.
    pub(super) async fn node_for(&self, name: &str, roles: &[&str]) -> Node {
        let name = NodeName::parse(name).unwrap();
        let wire = self.net.attach(&name);
        let mut config = config(self.env.clone());
        config.outbox.retry_wait_ms = 20;
        config.outbox.retry_wait_max_ms = 100;
        config.pushes = self.pushes.clone();
        config.release_within = RELEASE_WITHIN;
        config.cluster = Some(ClusterConfig {
            name: name.clone(),
            address: format!("{name}:1"),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            lease: LEASE,
            beat: BEAT,
            wire: wire.clone(),
        });
        let house = House::open(self.store.clone(), config).await.unwrap();
        Node { house, name, wire }
    }

    /// So many nodes, each with its part.
    pub(super) async fn nodes(&self, count: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        for number in 0..count {
            nodes.push(self.node(&format!("n{number}")).await);
        }
        self.settled(&nodes.iter().collect::<Vec<_>>()).await;
        nodes
    }

    /// Waits until every shard is served by one of these nodes, and they know.
    pub(super) async fn settled(&self, nodes: &[&Node]) {
        let shards = Family::ALL.into_iter().flat_map(|family| {
            (0..self.store.layout().shards).map(move |number| Shard { family, number })
        });
        let shards: Vec<_> = shards.collect();
        // Of few shards a node may well get none.
        let each = usize::from(self.store.layout().shards) / nodes.len();
        let least = each * Family::ALL.len() / 2;
        until("shards find their places", || {
            let maps = nodes.iter().map(|node| node.house.map().unwrap());
            let maps: Vec<_> = maps.collect();
            maps.iter().all(|map| map.served().len() >= least)
                && shards.iter().all(|shard| {
                    let here = maps.iter().filter(|map| map.serves(*shard));
                    here.count() == 1 && maps.iter().all(|map| map.place(*shard) != Place::Nowhere)
                })
        })
        .await;
    }
}

impl Node {
    pub(super) async fn leave(self) {
        self.house.close(Duration::from_secs(120)).await;
        self.wire.die();
    }

    /// As SIGKILL does: nothing is told any more, and nothing is given back. The others do not wait for the end of its lease: its port refuses.
    pub(super) async fn kill(self) {
        let ward = self.house.ward().unwrap().clone();
        self.wire.die();
        drop(self.house);
        // Whoever is buried and beats still would begin a new life.
        until("it beats no more", || Arc::strong_count(&ward) == 1).await;
        ward.bury(ward.incarnation()).await.unwrap();
    }

    /// Whether the user lives here.
    pub(super) fn has(&self, user_id: &OwnedUserId) -> bool {
        let entity = playhouse_schema::address::Entity::user(user_id.as_str());
        let shard = self.house.store().layout().shard_of(&entity);
        self.house.map().unwrap().serves(shard)
    }
}

/// A user's device, and what it was told.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) user_id: OwnedUserId,
    pub(super) device_id: OwnedDeviceId,
    pub(super) access_token: String,
    pub(super) since: Option<String>,
    /// Event IDs in the order in which they came.
    pub(super) timeline: BTreeMap<OwnedRoomId, Vec<String>>,
    pub(super) to_device: Vec<Value>,
    /// Per room, the newest of each type.
    pub(super) ephemeral: BTreeMap<OwnedRoomId, BTreeMap<String, Value>>,
}

impl Client {
    pub(super) async fn register(house: &House, name: &str) -> Self {
        let login = Login {
            device_id: Some("D".into()),
            display_name: None,
            refresh: false,
            access_lifetime_ms: 300_000,
        };
        let new = NewAccount {
            username: Some(name.to_owned()),
            password: Some("secret".to_owned()),
            login: Some(login),
            ..NewAccount::default()
        };
        let made = house.register(new).await.unwrap();
        let login = made.login.unwrap();
        Self {
            user_id: made.user_id,
            device_id: login.device_id,
            access_token: login.access_token,
            since: None,
            timeline: BTreeMap::new(),
            to_device: Vec::new(),
            ephemeral: BTreeMap::new(),
        }
    }

    /// Syncs once, and checks that nothing comes twice.
    pub(super) async fn sync(&mut self, house: &House, timeout_ms: u64) -> Result<(), HouseError> {
        let query = SyncQuery {
            device_id: self.device_id.clone(),
            since: self.since.clone(),
            filter: Some(r#"{"room":{"timeline":{"limit":1000}}}"#.to_owned()),
            full_state: false,
            set_presence: None,
            timeout_ms,
            state_after: false,
        };
        let body = house.sync(&self.user_id, query).await?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        self.take_in(&body);
        Ok(())
    }

    fn take_in(&mut self, body: &Value) {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for (room_id, room) in body["rooms"]["join"].as_object().into_iter().flatten() {
            let room_id = OwnedRoomId::try_from(room_id.as_str()).unwrap();
            let timeline = self.timeline.entry(room_id.clone()).or_default();
            let is_gap = self.since.is_some() && room["timeline"]["limited"] == true;
            assert!(!is_gap, "a gap");
            for event in list(&room["timeline"]["events"]) {
                let event_id = event["event_id"].as_str().unwrap().to_owned();
                assert!(
                    !timeline.contains(&event_id),
                    "{} was told {event_id} twice",
                    self.user_id
                );
                timeline.push(event_id);
            }
            let ephemeral = self.ephemeral.entry(room_id).or_default();
            for event in list(&room["ephemeral"]["events"]) {
                let kind = event["type"].as_str().unwrap().to_owned();
                ephemeral.insert(kind, event["content"].clone());
            }
        }
        self.to_device.extend(list(&body["to_device"]["events"]));
        self.since = Some(body["next_batch"].as_str().unwrap().to_owned());
    }

    /// Syncs at this and that house until something holds.
    pub(super) async fn sync_until(
        &mut self,
        what: &str,
        houses: &[&House],
        holds: impl Fn(&Self) -> bool,
    ) {
        let deadline = Instant::now() + PATIENCE;
        let mut turn = 0;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{}: {what}", self.user_id);
            let synced = self.sync(houses[turn % houses.len()], 100).await;
            if let Err(error) = synced {
                tracing::info!(%error, "a sync failed");
            }
            turn += 1;
        }
    }

    pub(super) fn has(&self, room_id: &OwnedRoomId, event_id: &str) -> bool {
        let timeline = self.timeline.get(room_id);
        timeline.is_some_and(|timeline| timeline.iter().any(|known| known == event_id))
    }
}

//! This node among others: what it needs before it joins them, and what it does beside the house as long as it is one of them.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use playhouse_actors::{cluster::ClusterConfig, house::House};
use playhouse_schema::{
    port::{LogStore, StoreError},
    register::{Incarnation, NodeName, Register, RegisterView},
};
use tokio::sync::mpsc;

use super::{
    StartError,
    identity::{io, random_secret},
    key_files::replace,
    shared_key,
};
use crate::{
    cluster::{
        secret::{ClusterSecret, SECRET_BYTES_MIN},
        wire::{self, ClusterWire, WireSettings},
    },
    config::Config,
};

/// How often is looked whether the other nodes are heard.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Who does not hear all that live looks into the register more often, for so many times as long as one may be silent.
const LOOKS_FOR: u32 = 4;

/// A server without `[cluster]` is waited for so long; the mark of one that died is not so old.
const ALONE_PATIENCE: Duration = Duration::from_secs(8);

/// How often is looked whether it has gone.
const ALONE_LOOK: Duration = Duration::from_millis(500);

/// In the data folder: the name of a node that was given none.
const NAME_FILE: &str = "node.name";

/// What a node has that is about to join others.
pub(super) struct Joining {
    wire: Arc<ClusterWire>,
    found: mpsc::Receiver<Incarnation>,
    secret: ClusterSecret,
    settings: ClusterConfig,
}

impl Joining {
    /// Opens the port for other nodes, which must be open before they know of this one; `None` when it is to be alone.
    pub(super) async fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let cluster = &config.cluster;
        let Some(listen) = &cluster.listen else {
            return Ok(None);
        };
        let secret = read_secret(config)?;
        let name = node_name(config)?;
        let lease = Duration::from_millis(cluster.lease_ms);
        let settings = WireSettings {
            name: name.clone(),
            listen: listen.clone(),
            advertise: cluster.advertise.clone().unwrap_or_default(),
            fast_burial: cluster.fast_burial,
            silence: wire::silence(lease),
        };
        let (wire, found) = ClusterWire::open(settings, &secret)
            .await
            .map_err(StartError::Cluster)?;
        if config.media.storage.is_none() && Path::new(&config.media.dir).is_relative() {
            tracing::warn!(
                dir = config.media.dir,
                "media is kept in this node's own data folder: other nodes need it too ([media] dir, or storage)"
            );
        }
        tracing::info!(node = %name, address = %wire.address(), advertised = wire.advertised(), "listening for other nodes");
        let settings = ClusterConfig {
            name,
            address: wire.advertised().to_owned(),
            roles: cluster.roles.clone(),
            lease,
            beat: Duration::from_millis(cluster.beat_ms),
            wire: wire.clone(),
        };
        Ok(Some(Self {
            wire,
            found,
            secret,
            settings,
        }))
    }

    /// What the house is told.
    pub(super) fn settings(&self) -> ClusterConfig {
        self.settings.clone()
    }

    /// Sees to it that this node has the signing key of the others.
    pub(super) async fn share_key(
        &self,
        store: &dyn LogStore,
        path: &Path,
    ) -> Result<(), StartError> {
        match store.register() {
            Some(register) => {
                be_among_nodes(&*register).await?;
                shared_key::share(&*register, &self.secret, path).await
            }
            None => Ok(()),
        }
    }

    /// The house stands.
    pub(super) fn begin(self, house: &Arc<House>) -> Joined {
        let (house, mut found) = (house.clone(), self.found);
        let mourner = Arc::downgrade(&house);
        let burying = tokio::spawn(async move {
            while let Some(incarnation) = found.recv().await {
                if let Some(house) = mourner.upgrade()
                    && let Some(ward) = house.ward()
                    && let Err(error) = ward.bury(incarnation).await
                {
                    // Its lease ends by itself.
                    tracing::warn!(%error, "cannot tell that a node is dead");
                }
            }
        });
        let patience = wire::silence(self.settings.lease);
        let watching = watch(Arc::downgrade(&house), Arc::downgrade(&self.wire), patience);
        Joined {
            wire: self.wire,
            house,
            tasks: [burying, tokio::spawn(watching)],
        }
    }
}

/// A node's part in a cluster.
pub(super) struct Joined {
    wire: Arc<ClusterWire>,
    house: Arc<House>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Joined {
    /// Gives everything to the other nodes, while requests are answered still.
    pub(super) async fn drain(&self, within: Duration) {
        if let Some(ward) = self.house.ward()
            && !ward.drain(within).await
        {
            tracing::info!("no other node takes all that this one has");
        }
    }

    /// To be called when the house is closed.
    pub(super) fn close(self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        self.wire.close();
    }
}

/// Looks whether this node hears the others, and says so to the ward: who is not connected with most of them for as long as one of them may be silent is cut
/// off. Both together are a lease: by then those that have died count no more.
async fn watch(house: Weak<House>, wire: Weak<ClusterWire>, patience: Duration) {
    let (mut since, mut incomplete_since) = (None, None::<Instant>);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (Some(house), Some(wire)) = (house.upgrade(), wire.upgrade()) else {
            return;
        };
        let Some(ward) = house.ward() else { continue };
        let view = ward.view().borrow().clone();
        let (heard, living) = heard(&view, ward.name(), &wire.connected());
        if !are_few(heard, living) {
            since = None;
            ward.cut_off(false);
        } else if since.get_or_insert_with(Instant::now).elapsed() >= patience {
            ward.cut_off(true);
        }
        incomplete_since = (heard < living).then(|| incomplete_since.unwrap_or_else(Instant::now));
        let is_new = |since: Instant| since.elapsed() < patience * LOOKS_FOR;
        ward.hearing_less(incomplete_since.is_some_and(is_new));
    }
}

/// How many a node hears, with itself, of how many that live.
fn heard(view: &RegisterView, own: &NodeName, connected: &[NodeName]) -> (usize, usize) {
    let living = view.nodes.iter().filter(|node| node.is_alive());
    let living: Vec<_> = living.map(|node| &node.name).collect();
    let heard = living
        .iter()
        .filter(|name| **name == own || connected.contains(name));
    (heard.count(), living.len())
}

/// Whether those that a node hears are the smaller part of all that live. Where there are two, or as many on each side, nobody gives way.
fn are_few(heard: usize, living: usize) -> bool {
    living >= 3 && heard * 2 < living
}

/// Waits a while for a server without `[cluster]` to go that runs on this database: one that died is thought to live for some seconds. Must be done before
/// anything is shared, as its key is to be the one of the cluster.
async fn be_among_nodes(register: &dyn Register) -> Result<(), StoreError> {
    let deadline = Instant::now() + ALONE_PATIENCE;
    loop {
        match register.be_among_nodes().await {
            Err(StoreError::Locked(why)) if Instant::now() < deadline => {
                tracing::info!(%why, "waiting until it has gone");
                tokio::time::sleep(ALONE_LOOK).await;
            }
            looked => return looked,
        }
    }
}

/// The secret of the configuration.
pub(super) fn read_secret(config: &Config) -> Result<ClusterSecret, StartError> {
    let cluster = &config.cluster;
    let wrong = |why: String| StartError::Cluster(format!("[cluster] {why}"));
    let text = match (&cluster.secret, &cluster.secret_file) {
        (Some(secret), None) => secret.clone(),
        (None, Some(path)) => {
            let path = config.in_data_dir(path);
            fs::read_to_string(&path).map_err(|error| io(&path, error))?
        }
        (Some(_), Some(_)) => {
            return Err(wrong(
                "secret and secret_file exclude each other".to_owned(),
            ));
        }
        (None, None) => return Err(wrong("secret is missing".to_owned())),
    };
    ClusterSecret::new(&text)
        .ok_or_else(|| wrong(format!("the secret has less than {SECRET_BYTES_MIN} bytes")))
}

/// What this node is called.
fn node_name(config: &Config) -> Result<NodeName, StartError> {
    if let Some(name) = &config.cluster.name {
        let wrong = || StartError::Cluster(format!("[cluster] name: `{name}` is none"));
        return NodeName::parse(name).ok_or_else(wrong);
    }
    let path = config.in_data_dir(NAME_FILE);
    let name = match fs::read_to_string(&path) {
        Ok(name) => name.trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = format!("node-{}", random_secret(8));
            let folder = &config.server.data_dir;
            fs::create_dir_all(folder).map_err(|error| io(Path::new(folder), error))?;
            replace(&path, format!("{name}\n"))?;
            name
        }
        Err(error) => return Err(io(&path, error)),
    };
    let wrong = || StartError::Cluster(format!("{}: `{name}` is no name", path.display()));
    NodeName::parse(&name).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use playhouse_schema::register::NodeEntry;

    use super::*;

    fn config(folder: &Path) -> Config {
        let mut config = Config::default();
        config.server.data_dir = folder.to_string_lossy().into_owned();
        config
    }

    #[test]
    fn the_smaller_part_gives_way() {
        let node = |name: &str, left_ms| NodeEntry {
            left_ms,
            ..NodeEntry::new(NodeName::parse(name).unwrap(), Incarnation::nil())
        };
        let hears_few = |living: &[&str], heard: &[&str]| {
            let mut nodes: Vec<_> = living.iter().map(|name| node(name, 1)).collect();
            nodes.push(node("dead", 0));
            let view = RegisterView {
                nodes,
                shards: Vec::new(),
            };
            let heard = heard.iter().map(|name| node(name, 1).name);
            let (heard, living) =
                super::heard(&view, &node("a", 1).name, &heard.collect::<Vec<_>>());
            are_few(heard, living)
        };
        assert!(!hears_few(&["a", "b"], &[]));
        assert!(hears_few(&["a", "b", "c"], &[]));
        assert!(!hears_few(&["a", "b", "c"], &["b"]));
        assert!(!hears_few(&["a", "b", "c", "d"], &["b"]));
        assert!(hears_few(&["a", "b", "c", "d", "e"], &["b"]));
    }

    #[test]
    fn a_name_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder.path().join("data"));
        let made = node_name(&config).unwrap();
        assert_eq!(node_name(&config).unwrap(), made);
        config.cluster.name = Some("n1".to_owned());
        assert_eq!(node_name(&config).unwrap().as_str(), "n1");
        config.cluster.name = None;
        fs::write(config.in_data_dir(NAME_FILE), "a b").unwrap();
        assert!(node_name(&config).is_err());
    }

    #[test]
    fn the_secret_comes_from_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        assert!(read_secret(&config).is_err());
        fs::write(
            config.in_data_dir("secret"),
            "a secret that is long enough\n",
        )
        .unwrap();
        config.cluster.secret_file = Some("secret".to_owned());
        let of_file = read_secret(&config).unwrap();
        config.cluster.secret = Some("a secret that is long enough".to_owned());
        assert!(read_secret(&config).is_err());
        config.cluster.secret_file = None;
        assert_eq!(read_secret(&config).unwrap().key("a"), of_file.key("a"));
        config.cluster.secret = Some("short".to_owned());
        assert!(read_secret(&config).is_err());
    }
}

//! The balancer between clients and nodes. It runs in a thread of its own, so that a test may wait for something without its runtime.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use playhouse::cluster::balance::{Balancer, NODES_PATH, Settings};
use tempfile::TempDir;
use tokio::{runtime::Builder, sync::oneshot};

use super::client::Client;

/// The balancer has seen within this time that the nodes are others: it looks five times in a second.
const SEEN_WITHIN: Duration = Duration::from_secs(120);

/// A balancer and its file. It ends when dropped.
pub(crate) struct Front {
    folder: TempDir,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// A balancer before some nodes, which it asks in turn or at random.
    pub(crate) fn before(nodes: &[&str], random: bool) -> Self {
        Self::at("127.0.0.1:0", nodes, random)
    }

    /// The same at an address that is given.
    pub(crate) fn at(listen: &str, nodes: &[&str], random: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("nodes.txt");
        std::fs::write(&file, nodes.join("\n")).expect("the file can be written");
        let settings = Settings {
            nodes: file,
            listen: listen.parse().expect("an address"),
            random,
        };
        let (told, heard) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let balancer = Balancer::start(settings).await;
                let balancer = balancer.expect("the balancer starts");
                let _ = told.send(balancer.address());
                let _ = stopped.await;
            });
        });
        Self {
            folder,
            address: heard.recv().expect("the balancer starts"),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("nodes.txt")
    }

    /// Has other nodes from now on; it notices a little later.
    pub(crate) fn set(&self, nodes: &[&str]) {
        let made = self.folder.path().join("made.txt");
        std::fs::write(&made, nodes.join("\n")).expect("the file can be written");
        std::fs::rename(made, self.file()).expect("the file can be replaced");
    }

    /// Has other nodes, and brings nothing to others any more.
    pub(crate) async fn turn_to(&self, nodes: &[&str]) {
        self.set(nodes);
        let places = nodes.iter().map(|node| node.trim_start_matches("http://"));
        let wanted = places.collect::<Vec<_>>().join("\n");
        let client = Client::new(&self.base());
        let deadline = Instant::now() + SEEN_WITHIN;
        loop {
            let (_, known) = client.text(NODES_PATH).await;
            if known == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "it knows {known:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

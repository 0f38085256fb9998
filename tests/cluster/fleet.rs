//! Nodes behind a balancer, which come and go as operators have them do.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::shared::{CLUSTER, Shared, is_settled};
use crate::{
    admin::administrator,
    harness::{Client, Front, TestServer, made::now_ms},
};

/// Shards find their places within this time.
const SETTLED_WITHIN: Duration = Duration::from_secs(300);

/// Who gets no answer in this time asks again.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) server: TestServer,
    /// What it is for, with commas between; everything when that is empty.
    pub(super) roles: String,
}

impl Node {
    fn is_for(&self, roles: &[&str]) -> bool {
        let mut own = self.roles.split(',');
        self.roles.is_empty() || own.any(|role| roles.contains(&role))
    }

    /// Whether clients may ask it.
    pub(super) fn is_edge(&self) -> bool {
        self.is_for(&["edge"])
    }

    /// Whether shards find a place there.
    fn holds(&self) -> bool {
        self.is_for(&["rooms", "users", "servers"])
    }
}

/// See the module's documentation.
pub(super) struct Fleet {
    /// Those that run, the eldest first. They end before what they share.
    pub(super) nodes: Vec<Node>,
    pub(super) front: Front,
    /// An administrator who asks by the balancer.
    pub(super) boss: Client,
    pub(super) shared: Shared,
    /// So many were ever started.
    started: usize,
    to_files: bool,
    /// What was done, and when (milliseconds since 1970).
    pub(super) deeds: Vec<(u64, String)>,
}

impl Fleet {
    /// So many nodes, each with its part. What they complain about goes into files, or comes with the test's output.
    pub(super) async fn start(shared: Shared, count: usize, to_files: bool) -> Self {
        let first = Node {
            name: "n1".to_owned(),
            server: shared.start("n1", to_files),
            roles: String::new(),
        };
        let front = Front::before(&[first.server.base()], true);
        let boss = administrator(&Client::new(&front.base()), "boss").await;
        let mut fleet = Self {
            shared,
            nodes: vec![first],
            front,
            boss,
            started: 1,
            to_files,
            deeds: Vec::new(),
        };
        fleet.grow_to(count).await;
        fleet
    }

    fn bases(&self) -> Vec<&str> {
        let edges = self.nodes.iter().filter(|node| node.is_edge());
        edges.map(|node| node.server.base()).collect()
    }

    /// The balancer brings requests to all nodes that run.
    pub(super) fn show_all(&self) {
        self.front.set(&self.bases());
    }

    /// The balancer brings requests to all but one.
    pub(super) async fn hide(&self, hidden: usize) {
        let hidden = self.nodes[hidden].server.base();
        let mut bases = self.bases();
        bases.retain(|base| *base != hidden);
        self.front.turn_to(&bases).await;
    }

    /// Notes that something is begun.
    fn begins(&mut self, deed: String) {
        self.deeds.push((now_ms(), deed));
    }

    /// New nodes, until there are so many.
    pub(super) async fn grow_to(&mut self, count: usize) {
        while self.nodes.len() < count {
            self.begins(format!("n{} starts", self.started + 1));
            self.add("");
        }
        self.begins("settles".to_owned());
        self.settled().await;
        self.begins("is settled".to_owned());
    }

    /// One more node for each of these roles, with commas between.
    pub(super) async fn add_parts(&mut self, parts: &[&str]) {
        for roles in parts {
            self.add(roles);
        }
        self.settled().await;
    }

    fn add(&mut self, roles: &str) {
        self.started += 1;
        let name = format!("n{}", self.started);
        let server = self.shared.start_for((name.as_str(), roles), self.to_files);
        self.nodes.push(Node {
            name,
            server,
            roles: roles.to_owned(),
        });
        self.show_all();
    }

    /// The eldest go, until there are so many: nobody asks them any more, they give their shards away, they end, they are forgotten.
    pub(super) async fn shrink_to(&mut self, count: usize) {
        while self.nodes.len() > count {
            self.hide(0).await;
            let mut leaving = self.nodes.remove(0);
            self.begins(format!("{} is drained", leaving.name));
            self.order(&["drain", &leaving.name]);
            // Who ends waits for that itself, but not for as long as a busy machine may need.
            self.settled().await;
            self.begins(format!("{} ends", leaving.name));
            leaving.server.stop();
            self.order(&["leave", &leaving.name]);
        }
        self.begins("settles".to_owned());
        self.settled().await;
        self.begins("is settled".to_owned());
    }

    /// Gives an order by the command line of some node.
    fn order(&self, words: &[&str]) {
        let words = [&["cluster"][..], words].concat();
        let (is_fine, text) = self.nodes[0].server.command_line(&words);
        assert!(is_fine, "{words:?}: {text}");
    }

    /// How the cluster stands; nothing when nobody can say.
    pub(super) async fn status(&self) -> Option<Value> {
        let asked = self.boss.try_request(Method::GET, CLUSTER, None);
        let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await;
        let answer = answer.ok()?.ok()?;
        (answer.status == 200).then_some(answer.body)
    }

    /// Waits until each node that is for it holds something, and nobody else anything.
    pub(super) async fn settled(&self) -> Value {
        let holders = self.nodes.iter().filter(|node| node.holds());
        let names: Vec<_> = holders.map(|node| node.name.as_str()).collect();
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let status = self.status().await;
            if let Some(status) = &status
                && is_settled(status, &names)
            {
                return status.clone();
            }
            assert!(
                Instant::now() < deadline,
                "the shards find no place: {names:?} {status:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

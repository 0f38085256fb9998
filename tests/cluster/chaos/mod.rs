//! Nodes are killed, stopped and cut off, and the database is restarted, under load: nothing acknowledged is lost, nothing is done twice, and what was
//! affected is served again soon.
//!
//! `PLAYHOUSE_TEST_CHAOS_FAULTS` asks for more faults than a few, and for a verdict on how soon; `PLAYHOUSE_TEST_CHAOS_SEED` repeats a run. With
//! `PLAYHOUSE_TEST_CHAOS_PARTS=1` most nodes are for one thing only: an edge, persisters, owners of users, senders to other servers.
//! `PLAYHOUSE_TEST_CHAOS_JUDGED` says how many of a hundred shards must be back in time, 50 otherwise: a busy machine is late now and then.

mod canary;
mod tally;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use playhouse_schema::address::{Family, Layout, Shard};
use tokio::{task::JoinSet, time};

use self::{
    canary::{Canaries, peer_names},
    tally::Tally,
};
use super::{
    fleet::Fleet,
    load::{Load, Plan},
    netns::Wires,
    shared::Shared,
};
use crate::harness::{
    Dice, Peers, Postgres, is_durable,
    made::{now_ms, of_day},
    wish,
};

/// What nodes are for: each for everything.
const ALIKE: [&str; 3] = ["", "", ""];

/// Each for a part, and somebody to take over whatever that is.
const PARTS: [&str; 6] = [
    "",
    "edge,media,push,appservice,directory,background",
    "rooms",
    "users",
    "servers",
    "rooms,users,servers",
];

/// Where PostgreSQL runs when nodes have places of their own.
const DATABASE: &str = "db";

/// After so many faults all histories are checked.
const BETWEEN_CHECKS: usize = 5;

/// So much is acknowledged between two faults.
const BETWEEN_FAULTS: usize = 40;

/// How long a write may wait for a node that is stopped and continues.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many refusals of one node are shown after a fault.
const SHOWN: usize = 2;

/// What a node says when the log has refused what it had in flight.
const REFUSED: &str = "shard is fenced";

const PLAN: Plan = Plan {
    name: "chaos",
    rooms: 12,
    writers: 8,
    readers: 4,
    sliders: 2,
    pause: Duration::from_millis(30),
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Killed,
    Stopped,
    CutFromOne,
    CutFromAll,
    CutFromDatabase,
    DatabaseRestarted,
}

/// Those that any machine permits, and those of the network.
const ANYWHERE: [Fault; 3] = [Fault::Killed, Fault::Stopped, Fault::DatabaseRestarted];
const OF_NETWORK: [Fault; 3] = [Fault::CutFromDatabase, Fault::CutFromOne, Fault::CutFromAll];

/// One to eight seconds.
fn while_away(dice: &mut Dice) -> Duration {
    Duration::from_millis(1_000 + dice.below(7_001) as u64)
}

/// All of them, in some order.
fn shuffled(dice: &mut Dice, mut faults: Vec<Fault>) -> Vec<Fault> {
    for last in (1..faults.len()).rev() {
        faults.swap(last, dice.below(last + 1));
    }
    faults
}

/// The nodes, their database, and what is seen of them.
struct Scene {
    fleet: Fleet,
    postgres: Postgres,
    canaries: Canaries,
    dice: Dice,
    tally: Tally,
}

/// A wire between each two places, or the reason why there are none.
async fn wires(nodes: usize) -> Result<Wires, String> {
    let names: Vec<_> = (1..=nodes).map(|number| format!("n{number}")).collect();
    let mut places: Vec<_> = names.iter().map(String::as_str).collect();
    places.push(DATABASE);
    Wires::build(&places).await
}

impl Scene {
    async fn open(wires: Option<Wires>, parts: &[&str], seed: u64) -> Self {
        let postgres = match &wires {
            Some(wires) => {
                let address = wires.address(DATABASE).to_string();
                Postgres::start(&wires.runner(DATABASE), &address)
            }
            None => Postgres::start(&[], "127.0.0.1"),
        };
        let outside = wires.as_ref().map(|wires| wires.outside().to_string());
        let outside = outside.unwrap_or_else(|| "127.0.0.1".to_owned());
        let peers = Peers::start_at(&outside, peer_names(Layout::default())).await;
        let mut shared = Shared::over(postgres.create(), wires);
        shared.more = peers.environment();
        let mut fleet = Fleet::start(shared, 1, true).await;
        fleet.add_parts(&parts[1..]).await;
        let status = fleet.settled().await;
        let shards = status["shards"].as_array().expect("shards");
        let of_rooms = shards.iter().filter(|shard| shard["family"] == "rooms");
        let layout = Layout {
            shards: u16::try_from(of_rooms.count()).expect("few shards"),
            era: 0,
        };
        let canaries = Canaries::settle(&fleet.boss, layout, &Arc::new(peers)).await;
        Self {
            fleet,
            postgres,
            canaries,
            dice: Dice(seed),
            tally: Tally::default(),
        }
    }

    /// The shards that nodes hold.
    async fn held_by(&self, nodes: &[usize]) -> Vec<Shard> {
        let status = self.fleet.settled().await;
        let names = nodes
            .iter()
            .map(|node| self.fleet.nodes[*node].name.as_str());
        let names: Vec<_> = names.collect();
        let shards = status["shards"].as_array().expect("shards").iter();
        let held = shards.filter(|shard| {
            let holder = shard["holder"].as_str().unwrap_or_default();
            names.contains(&holder)
        });
        held.filter_map(|shard| {
            let mut families = Family::ALL.into_iter();
            let family = families.find(|family| shard["family"] == family.name())?;
            let number = u16::try_from(shard["number"].as_u64()?).ok()?;
            Some(Shard { family, number })
        })
        .collect()
    }

    fn base(&self, node: usize) -> String {
        self.fleet.nodes[node].server.base().to_owned()
    }

    /// All nodes but one.
    fn others(&self, node: usize) -> Vec<usize> {
        let nodes = 0..self.fleet.nodes.len();
        nodes.filter(|other| *other != node).collect()
    }

    /// Where some nodes are asked; where others are that are asked in their place, if clients may ask none of them.
    fn doors(&self, nodes: &[usize], instead: &[usize]) -> Vec<String> {
        let edges = |nodes: &[usize]| -> Vec<String> {
            let nodes = nodes.iter();
            let edges = nodes.filter(|node| self.fleet.nodes[**node].is_edge());
            edges.map(|node| self.base(*node)).collect()
        };
        let doors = edges(nodes);
        if doors.is_empty() {
            edges(instead)
        } else {
            doors
        }
    }

    #[expect(
        clippy::print_stdout,
        reason = "what happened when belongs into the test's output"
    )]
    async fn play(&mut self, fault: Fault) {
        let victim = self.dice.below(self.fleet.nodes.len());
        let whole = 0..self.fleet.nodes.len();
        let known: Vec<_> = whole.map(|node| self.refusals(node).len()).collect();
        if fault != Fault::DatabaseRestarted {
            let node = &self.fleet.nodes[victim];
            println!("{}: {fault:?}, {}", of_day(now_ms()), node.name);
            self.tally.note_victim(fault, &node.roles);
        }
        match fault {
            Fault::Killed => self.kill(victim).await,
            Fault::Stopped => self.stop(victim).await,
            Fault::CutFromOne => {
                let others = self.others(victim);
                let other = others[self.dice.below(others.len())];
                self.cut_nodes(fault, victim, &[other]).await;
            }
            Fault::CutFromAll => self.cut_nodes(fault, victim, &self.others(victim)).await,
            Fault::CutFromDatabase => self.cut_database(victim).await,
            Fault::DatabaseRestarted => self.restart_database().await,
        }
        self.fleet.show_all();
        self.fleet.settled().await;
        self.show_refusals(fault, &known);
    }

    /// What the log refused since then, as the nodes' own logs have it.
    #[expect(
        clippy::print_stdout,
        reason = "what a stale owner was refused belongs into the test's output"
    )]
    fn show_refusals(&mut self, fault: Fault, known: &[usize]) {
        for (node, known) in known.iter().enumerate() {
            let refusals = self.refusals(node);
            let fresh = refusals.get(*known..).unwrap_or_default();
            self.tally.note_refused(fault, fresh.len());
            for line in fresh.iter().take(SHOWN) {
                println!("{} was refused: {line}", self.fleet.nodes[node].name);
            }
        }
    }

    async fn kill(&mut self, victim: usize) {
        let affected = self.held_by(&[victim]).await;
        let doors = self.doors(&self.others(victim), &[]);
        self.fleet.nodes[victim].server.kill();
        let began = Instant::now();
        let (away, ()) = tokio::join!(
            self.canaries.away(&affected, &doors, began),
            self.fleet.hide(victim),
        );
        self.tally.note(Fault::Killed, away);
        self.fleet.nodes[victim].server.start_again();
    }

    async fn stop(&mut self, victim: usize) {
        let (affected, others) = (self.held_by(&[victim]).await, self.others(victim));
        let doors = self.doors(&others, &[]);
        let own = self.doors(&[victim], &others).swap_remove(0);
        let stopped_for = while_away(&mut self.dice);
        let refused = self.refusals(victim).len();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut writing = JoinSet::new();
        // Enough that something is in flight whenever it is stopped.
        for voice in self.canaries.voices(&affected).into_iter().cycle().take(24) {
            writing.spawn(voice.go_on(own.clone(), is_over.clone(), PATIENCE));
        }
        // Where none of them has a room there is nothing to wait for.
        if !writing.is_empty() {
            self.canaries.until_busy(writing.len()).await;
        }
        let server = &self.fleet.nodes[victim].server;
        server.suspend();
        let began = Instant::now();
        is_over.store(true, Ordering::Relaxed);
        let continues = async {
            time::sleep(stopped_for).await;
            server.resume();
        };
        let (away, (), ()) = tokio::join!(
            self.canaries.away(&affected, &doors, began),
            self.fleet.hide(victim),
            continues,
        );
        self.tally.note(Fault::Stopped, away);
        while let Some(ended) = writing.join_next().await {
            ended.expect("no canary fails");
        }
        self.fleet.settled().await;
        let refused = self.refusals(victim).len() - refused;
        self.tally.note_stop(stopped_for, refused);
    }

    /// Whenever a node was told that it does not hold a shard any more by the log, which refused what it wrote.
    fn refusals(&self, node: usize) -> Vec<String> {
        let path = self.fleet.shared.log(&self.fleet.nodes[node].name);
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains(REFUSED));
        lines.map(ToOwned::to_owned).collect()
    }

    fn wires(&self) -> &Wires {
        let wires = self.fleet.shared.wires.as_ref();
        wires.expect("only what can be cut is cut")
    }

    /// Cuts wires for a while, and measures meanwhile how long some shards are away.
    async fn cut(
        &self,
        wires: &[(&str, &str)],
        (affected, doors): (&[Shard], &[String]),
        lasts: Duration,
    ) -> Vec<(Shard, Duration)> {
        for (one, other) in wires {
            self.wires().cut(one, other);
        }
        let began = Instant::now();
        let healed = async {
            time::sleep(lasts).await;
            for (one, other) in wires {
                self.wires().heal(one, other);
            }
        };
        let (away, ()) = tokio::join!(self.canaries.away(affected, doors, began), healed);
        away
    }

    /// A node and some others hear nothing of each other.
    async fn cut_nodes(&mut self, fault: Fault, victim: usize, from: &[usize]) {
        let lasts = while_away(&mut self.dice);
        let mut affected = self.held_by(&[victim]).await;
        let mut doors = self.doors(from, &self.others(victim));
        if affected.is_empty() && from.len() == 1 {
            // An edge is cut off from those who hold something: it is asked for that.
            affected = self.held_by(from).await;
            doors = self.doors(&[victim], &self.others(victim));
        }
        let name = |node: usize| self.fleet.nodes[node].name.as_str();
        let wires: Vec<_> = from
            .iter()
            .map(|other| (name(victim), name(*other)))
            .collect();
        let away = self.cut(&wires, (&affected[..], &doors[..]), lasts).await;
        self.tally.note(fault, away);
    }

    async fn cut_database(&mut self, victim: usize) {
        let lasts = while_away(&mut self.dice);
        let affected = self.held_by(&[victim]).await;
        let doors = self.doors(&self.others(victim), &[]);
        let wire = (self.fleet.nodes[victim].name.as_str(), DATABASE);
        let away = self.cut(&[wire], (&affected[..], &doors[..]), lasts).await;
        self.tally.note(Fault::CutFromDatabase, away);
    }

    async fn restart_database(&mut self) {
        let nodes: Vec<_> = (0..self.fleet.nodes.len()).collect();
        let (affected, doors) = (self.held_by(&nodes).await, self.doors(&nodes, &[]));
        let signal = ["INT", "QUIT"][self.dice.below(2)];
        let pause_ms = 200 + self.dice.below(4_000) as u64;
        self.postgres.restart(signal, pause_ms);
        let away = self.canaries.away(&affected, &doors, Instant::now()).await;
        self.tally.note(Fault::DatabaseRestarted, away);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_nothing_acknowledged_is_lost_or_done_twice() {
    let wished: Option<usize> = wish("PLAYHOUSE_TEST_CHAOS_FAULTS");
    let (faults, seed) = (
        wished.unwrap_or(4),
        wish("PLAYHOUSE_TEST_CHAOS_SEED").unwrap_or(1),
    );
    let has_parts = wish::<usize>("PLAYHOUSE_TEST_CHAOS_PARTS").is_some_and(|wished| wished > 0);
    let parts: &[&str] = if has_parts { &PARTS } else { &ALIKE };
    let wires = wires(parts.len()).await;
    let mut kinds = ANYWHERE.to_vec();
    match &wires {
        Ok(_) => kinds.extend(OF_NETWORK),
        Err(reason) => println!("skipped: cut wires: {reason}"),
    }
    println!(
        "{faults} faults by the seed {seed}, nodes for {parts:?}; PostgreSQL waits for the disk: {}",
        is_durable()
    );
    let mut scene = Scene::open(wires.ok(), parts, seed).await;
    let (mut deck, mut played) = (Vec::new(), 0);
    while played < faults {
        let name: &'static str = format!("chaos{played}").leak();
        let load = Load::begin(&scene.fleet.front.base(), &Plan { name, ..PLAN }).await;
        for _ in 0..BETWEEN_CHECKS.min(faults - played) {
            load.until_acked(BETWEEN_FAULTS).await;
            if deck.is_empty() {
                deck = shuffled(&mut scene.dice, kinds.clone());
            }
            let fault = deck.pop().expect("there are faults");
            let began = Instant::now();
            scene.play(fault).await;
            played += 1;
            println!(
                "{played}: {fault:?}, all is well after {:?}",
                began.elapsed()
            );
        }
        load.until_acked(BETWEEN_FAULTS).await;
        let outcome = load.end().await;
        println!("{}\n{}", outcome.figures, outcome.stalls);
        assert!(
            outcome.report.is_clean(),
            "{}\n{}",
            outcome.report,
            scene.tally
        );
    }
    println!("{}", scene.tally);
    scene.canaries.check().await;
    let (sent, repeated) = scene.canaries.check_peers().await;
    println!("other servers were sent {sent} messages, {repeated} of them again, and miss none");
    if wished.is_some() {
        scene
            .tally
            .judge(wish("PLAYHOUSE_TEST_CHAOS_JUDGED").unwrap_or(50));
    }
}

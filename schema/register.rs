//! The register of a cluster: which nodes live, and which of them holds which shard.
//!
//! PostgreSQL keeps it. It is no fold of the log but the right to write it: a shard is claimed here under a new term, and the log takes nothing under a term
//! that is older than the newest it has seen ([`crate::port::LogAppender::take_under`]). Clocks decide only when somebody else may claim; terms keep
//! the log whole whatever the clocks do.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    address::Shard,
    port::{StoreError, StoreFuture},
};

/// The low bits of an epoch that an owner raises by itself, when an append is in doubt; the others are the term of its claim.
pub(crate) const TERM_SHIFT: u32 = 20;

/// The longest name of a node, bytes.
const NAME_BYTES_MAX: usize = 64;

/// What an operator calls a node: letters, digits, `.`, `_` and `-`, at most 64 of them. It stays the same over restarts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Checks a name; `None` when it is not one.
    pub fn parse(name: &str) -> Option<Self> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_fit);
        fits.then(|| Self(name.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name).ok_or_else(|| format!("{name:?} is no name of a node"))
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// One life of a node: what holds shards. A node whose lease ran out begins a new one.
pub type Incarnation = Uuid;

/// Whether a node takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It takes shards.
    Serving,
    /// It gives its shards away, and takes requests until it ends.
    Draining,
}

impl Standing {
    /// As the register has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Serving => "serving",
            Standing::Draining => "draining",
        }
    }

    /// From what the register has.
    pub fn parse(text: &str) -> Option<Self> {
        [Standing::Serving, Standing::Draining]
            .into_iter()
            .find(|standing| standing.as_str() == text)
    }
}

/// What a node says of itself with each beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Its name.
    pub name: NodeName,
    /// This life of it.
    pub incarnation: Incarnation,
    /// Where other nodes reach it: `host:port`.
    pub address: String,
    /// What it does, in the words of the configuration.
    pub roles: Vec<String>,
    /// Whether it takes work.
    pub standing: Standing,
    /// Its load and the like, a JSON object that only nodes read.
    pub facts: String,
    /// It lives so much longer, milliseconds, counted by the database.
    pub lease_ms: u64,
}

/// A node as the register has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Its name.
    pub name: NodeName,
    /// Its newest life.
    pub incarnation: Incarnation,
    /// Where other nodes reach it.
    pub address: String,
    /// What it does.
    pub roles: Vec<String>,
    /// Whether it takes work.
    pub standing: Standing,
    /// What it says of its load.
    pub facts: String,
    /// When this life began, milliseconds since the Unix epoch, by the database.
    pub joined_ms: u64,
    /// So much of its lease is left, milliseconds; 0 when it has run out.
    pub left_ms: u64,
    /// So long ago its lease ran out by itself, milliseconds; 0 while it runs, and when it was ended: then the node left, or somebody found it dead.
    #[serde(default)]
    pub silent_ms: u64,
}

impl NodeEntry {
    /// A node of which nothing is known but its life: its lease does not run.
    pub fn new(name: NodeName, incarnation: Incarnation) -> Self {
        Self {
            name,
            incarnation,
            address: String::new(),
            roles: Vec::new(),
            standing: Standing::Serving,
            facts: String::new(),
            joined_ms: 0,
            left_ms: 0,
            silent_ms: 0,
        }
    }

    /// Whether its lease runs.
    pub fn is_alive(&self) -> bool {
        self.left_ms > 0
    }
}

/// A shard as the register has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// The shard.
    pub shard: Shard,
    /// Which life of which node holds it.
    pub holder: Option<Incarnation>,
    /// The term of the newest claim, or of the newest hand-over.
    pub term: u64,
    /// Where it shall go.
    pub wanted: Option<NodeName>,
    /// Where an operator wants it.
    pub pinned: Option<NodeName>,
    /// The node where it is pinned is to hold nothing but what is pinned there.
    pub alone: bool,
}

/// All of the register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterView {
    /// Nodes by name, the dead among them until somebody clears them away.
    pub nodes: Vec<NodeEntry>,
    /// Every shard of every family.
    pub shards: Vec<ShardEntry>,
}

impl RegisterView {
    /// The node whose life holds a shard, if its lease runs.
    pub fn node_of(&self, incarnation: Incarnation) -> Option<&NodeEntry> {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.incarnation == incarnation && node.is_alive())
    }

    /// The node that is to have a shard.
    pub fn wanted(&self, shard: Shard) -> Option<&NodeName> {
        let mut shards = self.shards.iter();
        let entry = shards.find(|entry| entry.shard == shard)?;
        entry.wanted.as_ref()
    }
}

/// A claimed shard, and the epoch under which its log is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The shard.
    pub shard: Shard,
    /// The first epoch of the claim's term.
    pub epoch: u64,
}

impl Claim {
    /// The claim of a shard in a term.
    pub fn new(shard: Shard, term: u64) -> Self {
        Self {
            shard,
            epoch: term << TERM_SHIFT,
        }
    }

    /// The claim's term.
    pub fn term(&self) -> u64 {
        self.epoch >> TERM_SHIFT
    }
}

/// A shard that one life has given to another: the other one holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// Who has it now.
    pub life: Incarnation,
    /// The shard.
    pub shard: Shard,
    /// The term under which that life holds it.
    pub term: u64,
}

impl Handed {
    /// What the new holder takes its log under, as if it had claimed it.
    pub fn claim(&self) -> Claim {
        Claim::new(self.shard, self.term)
    }
}

/// What became of a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// The lease runs again from now on, and this is how things stand.
    Alive(RegisterView),
    /// The lease had run out, or was ended: this life is over, and everything it held is free.
    Lapsed,
}

/// The register. Every statement of it is whole by itself and may be repeated.
pub trait Register: Send + Sync + 'static {
    /// Begins a life. Refused with [`StoreError::Locked`] while another life of the same name has a lease, or a node of no cluster writes the database.
    fn join<'a>(&'a self, beat: &'a Beat) -> StoreFuture<'a, RegisterView>;

    /// Goes on with a life, and says what has changed about the node. A lease that has run out is never extended.
    fn beat<'a>(&'a self, beat: &'a Beat) -> StoreFuture<'a, Pulse>;

    /// Ends a life: its lease, and what it holds.
    fn leave(&self, incarnation: Incarnation) -> StoreFuture<'_, ()>;

    /// Takes a node that is dead out of the register. `false` when it lives, or is not known.
    fn forget<'a>(&'a self, name: &'a NodeName) -> StoreFuture<'a, bool>;

    /// Claims shards that no living node holds, each under a new term; what another holds is left out of the answer. Those that are held already are claimed
    /// again. Nothing is claimed by a life whose lease has run out.
    fn claim<'a>(
        &'a self,
        incarnation: Incarnation,
        shards: &'a [Shard],
    ) -> StoreFuture<'a, Vec<Claim>>;

    /// Gives shards back that were claimed so. Those that it does not hold, or has claimed again since, are left alone: what was given up waiting for may be
    /// done late.
    fn release<'a>(&'a self, incarnation: Incarnation, claims: &'a [Claim]) -> StoreFuture<'a, ()>;

    /// Gives a shard that was claimed so to a node, under a new term, as if that node had claimed it the moment after. `None` when the node is dead, takes no
    /// shards, or is not where the shard shall go: then it is given back. Likewise `None`, and nothing is done, when it is not held so any more: it may have been given already, if this is said a second time.
    fn hand_over<'a>(
        &'a self,
        incarnation: Incarnation,
        claim: Claim,
        to: &'a NodeName,
    ) -> StoreFuture<'a, Option<Handed>>;

    /// Says where shards shall go.
    fn want<'a>(&'a self, wishes: &'a [(Shard, Option<NodeName>)]) -> StoreFuture<'a, ()>;

    /// A node that belongs to no cluster writes this database, and says so again before this time is over. Tells which nodes of a cluster live: there should be
    /// none. As long as it says so nobody joins.
    fn stand_alone<'a>(&'a self, who: &'a str, for_ms: u64) -> StoreFuture<'a, Vec<NodeName>>;

    /// Refuses with [`StoreError::Locked`] while a node of no cluster writes the database.
    fn be_among_nodes(&self) -> StoreFuture<'_, ()>;

    /// Something was not answered in time: what is said next goes over another connection.
    fn reconnect(&self) {}

    /// Says where an operator wants a shard, whatever the load, and whether it shall be alone there: with others that are pinned to the node, and no more.
    fn pin(&self, shard: Shard, node: Option<NodeName>, alone: bool) -> StoreFuture<'_, ()>;

    /// Lets a node rest, whatever it says of itself, or no more: one that rests gives its shards away and gets none. Holds over restarts.
    fn rest<'a>(&'a self, name: &'a NodeName, rests: bool) -> StoreFuture<'a, ()>;

    /// How things stand.
    fn view(&self) -> StoreFuture<'_, RegisterView>;

    /// Something that the nodes share; they have locked it up. What is proposed is kept if there is nothing yet. Answers what there is then.
    fn secret<'a>(
        &'a self,
        name: &'a str,
        proposed: Option<&'a [u8]>,
    ) -> StoreFuture<'a, Option<Bytes>>;

    /// Puts something in the place of what the nodes share.
    fn replace_secret<'a>(&'a self, name: &'a str, payload: &'a [u8]) -> StoreFuture<'a, ()>;
}

/// Why nobody joins as long as a node of no cluster writes the database.
pub fn not_beside_alone(who: &str) -> StoreError {
    StoreError::Locked(format!(
        "a server without [cluster] runs on this database ({who}): stop it, or give it the same [cluster] secret and a [cluster] listen, and start it again; \
         if it died just now, wait a few seconds"
    ))
}

/// A value of the register that makes no sense.
pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("the register of the cluster: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["a", "node-1.example_x", &"x".repeat(64)] {
            assert_eq!(NodeName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert_eq!(NodeName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_later_term_is_above_all_epochs_of_an_earlier_one() {
        let shard = Shard {
            family: crate::address::Family::Rooms,
            number: 3,
        };
        let (one, two) = (Claim::new(shard, 1), Claim::new(shard, 2));
        assert!(two.epoch > one.epoch + 1_000_000);
    }
}

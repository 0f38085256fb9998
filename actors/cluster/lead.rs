//! Where shards shall go: one node says so, the one that has lived longest. Any other would say the same.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use playhouse_schema::{
    address::Shard,
    register::{NodeEntry, NodeName, RegisterView},
};

use super::{balance, facts, ward::Ward};

/// Who has begun anew among none that has lived on says for so many leases nothing about where shards shall go: after the database was away everybody has.
const SILENT_LEASES: u32 = 2;

/// Nodes are made to hold as much as each other at most so often, as long as each of them holds something.
const LEVEL_EVERY: Duration = Duration::from_secs(30);

/// So long after another node's lease has ended is looked again.
const AFTER_LEASE: Duration = Duration::from_millis(20);

/// There is never less time between two beats that nothing asked for.
const PAUSE_MIN: Duration = Duration::from_millis(50);

impl Ward {
    /// How long to wait for the next beat if nothing happens, by a register that has just been read: who holds shards is missed as soon as its lease has
    /// ended.
    pub(super) fn pause(&self) -> Duration {
        let view = self.view.borrow();
        let others = view.nodes.iter();
        let others = others.filter(|node| node.is_alive() && node.name != self.settings.name);
        let soonest = others
            .map(|node| Duration::from_millis(node.left_ms) + AFTER_LEASE)
            .min();
        let pause = soonest.map_or(self.settings.beat, |soonest| {
            soonest.min(self.settings.beat)
        });
        pause.max(PAUSE_MIN.min(self.settings.beat))
    }

    /// This node has lost its lease and joined again: it says nothing for a while, unless half of the others have lived on.
    pub(super) fn be_silent(&self, view: &RegisterView) {
        let others = view.nodes.iter();
        let others = others.filter(|node| node.name != self.settings.name);
        let (living, dead): (Vec<_>, Vec<_>) = others.partition(|node| node.is_alive());
        let is_alone = living.is_empty() || living.len() < dead.len();
        let until = is_alone.then(|| Instant::now() + self.settings.lease * SILENT_LEASES);
        self.life.lock().silent_until = until;
    }

    /// Whether this node says where shards shall go.
    pub(super) fn leads(&self, view: &RegisterView) -> bool {
        let silent_until = self.life.lock().silent_until;
        let is_silent = silent_until.is_some_and(|until| Instant::now() < until);
        // Nobody is missed any more when all are there.
        if is_silent && !view.nodes.iter().all(NodeEntry::is_alive) {
            return false;
        }
        let living = view.nodes.iter().filter(|node| node.is_alive());
        let eldest = living.min_by_key(|node| (node.joined_ms, node.name.clone()));
        eldest.is_some_and(|node| node.name == self.settings.name)
    }

    /// Whether it is time again to look how much nodes hold.
    fn is_due(&self) -> bool {
        let mut life = self.life.lock();
        let is_due = life
            .levelled
            .is_none_or(|levelled| levelled.elapsed() >= LEVEL_EVERY);
        if is_due {
            life.levelled = Some(Instant::now());
        }
        is_due
    }

    /// Says where shards shall go, to the register, and then that there is something new to those whom it concerns.
    pub(super) fn place(self: &Arc<Self>, view: Arc<RegisterView>) {
        let wishes = balance::wishes(&view, &facts::loads_of(&view), self.is_due());
        if wishes.is_empty() {
            return;
        }
        let ward = self.clone();
        ractor::concurrency::spawn(async move {
            match ward.answered(ward.register.want(&wishes)).await {
                Ok(()) => {
                    let concerned = concerned(&view, &wishes);
                    concerned.iter().for_each(|node| ward.herald.look(node));
                    ward.ring();
                }
                Err(error) => tracing::warn!(%error, "cannot say where shards shall go"),
            }
        });
    }
}

/// Those who hold shards that shall go elsewhere, and those who shall have them.
fn concerned(view: &RegisterView, wishes: &[(Shard, Option<NodeName>)]) -> BTreeSet<NodeName> {
    let mut nodes: BTreeSet<_> = wishes.iter().filter_map(|(_, node)| node.clone()).collect();
    let moved: BTreeSet<_> = wishes.iter().map(|(shard, _)| *shard).collect();
    let held = view
        .shards
        .iter()
        .filter(|entry| moved.contains(&entry.shard));
    let holders = held.filter_map(|entry| view.node_of(entry.holder?));
    nodes.extend(holders.map(|node| node.name.clone()));
    nodes
}

#[cfg(test)]
mod tests {
    use playhouse_schema::{
        address::Family,
        register::{ShardEntry, Standing},
    };
    use uuid::Uuid;

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    #[test]
    fn whom_a_wish_concerns_is_told() {
        let node = |text: &str, number, left_ms| NodeEntry {
            name: name(text),
            incarnation: Uuid::from_u128(number),
            address: String::new(),
            roles: Vec::new(),
            standing: Standing::Serving,
            facts: String::new(),
            joined_ms: 0,
            left_ms,
        };
        let shard = |number| Shard {
            family: Family::Rooms,
            number,
        };
        let entry = |number, holder: Option<u128>| ShardEntry {
            shard: shard(number),
            holder: holder.map(Uuid::from_u128),
            term: 1,
            wanted: None,
            pinned: None,
            alone: false,
        };
        let view = RegisterView {
            nodes: vec![node("a", 1, 9), node("b", 2, 9), node("c", 3, 0)],
            shards: vec![
                entry(0, Some(1)),
                entry(1, Some(2)),
                entry(2, Some(3)),
                entry(3, None),
            ],
        };
        let told = |wishes: &[(u16, &str)]| {
            let wishes = wishes
                .iter()
                .map(|(number, to)| (shard(*number), Some(name(to))));
            let told = concerned(&view, &wishes.collect::<Vec<_>>()).into_iter();
            told.map(|node| node.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&[(0, "b")]), ["a", "b"]);
        assert_eq!(told(&[(1, "d"), (3, "d")]), ["b", "d"]);
        // Who is dead hears nothing.
        assert_eq!(told(&[(2, "a")]), ["a"]);
        assert!(told(&[]).is_empty());
    }
}

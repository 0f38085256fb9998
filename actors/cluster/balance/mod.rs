//! Which node shall hold which shard: a pure function of what the register says.
//!
//! Moves as little as it can: a shard stays where it is unless its node must not hold it or holds clearly more than another. Whoever computes it from the same
//! register comes to the same, so it does not matter which node does.

use std::collections::{BTreeMap, BTreeSet};

use playhouse_schema::{
    address::{Family, Shard},
    register::{NodeEntry, NodeName, RegisterView, ShardEntry, Standing},
};

/// What holding a shard takes at least, against [`Loads`]: an idle shard counts too, so that they are spread.
const IDLE: f64 = 1.0;

/// A node that holds so much more than another, in shares of what a shard takes on average, gives one away.
const TOLERANCE: f64 = 1.0;

/// How busy shards are: records a second, or anything else that grows with the work.
pub type Loads = BTreeMap<Shard, f64>;

/// Nodes that say that they could not take a shard, again and again.
pub type Unheld = BTreeSet<(NodeName, Shard)>;

/// Who is given something by nodes that may keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levelling {
    /// Nobody.
    Nobody,
    /// Nodes that hold nothing.
    Newcomers,
    /// Whoever holds clearly less than another.
    Everybody,
}

/// Where shards shall go, as far as the register does not say so already. Loads rise and fall by themselves, and each move costs: nodes that hold something are
/// made to hold as much as each other only when that is due. Who cannot take a shard does not get it as long as there is somebody else, and nothing more of its
/// family.
pub fn wishes(
    view: &RegisterView,
    (loads, unheld): (&Loads, &Unheld),
    levelling: Levelling,
) -> Vec<(Shard, Option<NodeName>)> {
    let mut wishes = Vec::new();
    for family in Family::ALL {
        let shards = view.shards.iter();
        let shards: Vec<_> = shards
            .filter(|entry| entry.shard.family == family)
            .collect();
        let mut desk = Desk::new(view, family, unheld);
        desk.seat(view, &shards, loads);
        let takers = match levelling {
            Levelling::Nobody => BTreeSet::new(),
            Levelling::Newcomers => desk.newcomers(),
            Levelling::Everybody => desk.weights.keys().cloned().collect(),
        };
        desk.level(&shards, loads, &takers);
        for entry in shards {
            let node = desk.places.get(&entry.shard).cloned();
            if node != entry.wanted {
                wishes.push((entry.shard, node));
            }
        }
    }
    wishes
}

/// The role that a node must have to hold shards of a family.
pub fn role_of(family: Family) -> &'static str {
    family.name()
}

/// Whether a node may hold shards of a family.
fn may_hold(node: &NodeEntry, family: Family) -> bool {
    node.is_alive()
        && node.standing == Standing::Serving
        && node.roles.iter().any(|role| role == role_of(family))
}

/// The nodes that shall hold only what is pinned to them: those to which a shard is pinned that is to be alone.
fn set_apart(view: &RegisterView) -> BTreeSet<&NodeName> {
    // One that cannot hold what is pinned to it serves others.
    let holds = |name: &NodeName, entry: &ShardEntry| {
        let mut nodes = view.nodes.iter();
        nodes.any(|node| node.name == *name && may_hold(node, entry.shard.family))
    };
    let alone = view.shards.iter().filter(|entry| entry.alone);
    let apart = alone.filter_map(|entry| {
        let pinned = entry.pinned.as_ref();
        pinned.filter(|name| holds(name, entry))
    });
    apart.collect()
}

/// The nodes of one family and what they hold.
struct Desk {
    /// Of those that hold what nobody has pinned.
    weights: BTreeMap<NodeName, f64>,
    /// The others, which hold only what is pinned to them.
    apart: BTreeSet<NodeName>,
    /// Of this family.
    unheld: Unheld,
    places: BTreeMap<Shard, NodeName>,
}

impl Desk {
    fn new(view: &RegisterView, family: Family, unheld: &Unheld) -> Self {
        let nodes = view.nodes.iter().filter(|node| may_hold(node, family));
        let of_family = |unheld: &&(NodeName, Shard)| unheld.1.family == family;
        let apart = set_apart(view);
        let (mut apart, mut free): (BTreeSet<_>, BTreeSet<_>) = nodes
            .map(|node| node.name.clone())
            .partition(|name| apart.contains(name));
        // Somebody must hold the others.
        if free.is_empty() {
            free = std::mem::take(&mut apart);
        }
        Self {
            weights: free.into_iter().map(|name| (name, 0.0)).collect(),
            apart,
            unheld: unheld.iter().filter(of_family).cloned().collect(),
            places: BTreeMap::new(),
        }
    }

    /// Whether a shard may be where it is, or shall be, by what the node says of it. If nobody can take it, one is as good as another.
    fn can_hold(&self, node: &NodeName, shard: Shard) -> bool {
        let cannot = |node: &NodeName| self.unheld.contains(&(node.clone(), shard));
        !cannot(node) || self.weights.keys().all(cannot)
    }

    /// Whether a node could take all that it was given: who could not gets nothing more, since the next shard may have the same trouble.
    fn is_sound(&self, node: &NodeName) -> bool {
        !self.unheld.iter().any(|(name, _)| name == node)
    }

    /// Leaves every shard where it may stay; the others go, the heaviest first, where there is least.
    fn seat(&mut self, view: &RegisterView, shards: &[&ShardEntry], loads: &Loads) {
        let mut homeless = Vec::new();
        for entry in shards {
            let weight = weight(entry.shard, loads);
            if let Some(pinned) = entry
                .pinned
                .as_ref()
                .filter(|node| self.apart.contains(*node) && self.can_hold(node, entry.shard))
            {
                self.places.insert(entry.shard, pinned.clone());
                continue;
            }
            // What is on its way already is not called back.
            let at = entry.holder.and_then(|holder| view.node_of(holder));
            let at = at.map(|node| node.name.clone());
            let choices = [entry.pinned.clone(), entry.wanted.clone(), at];
            let mut fit = choices.into_iter().flatten();
            let fits = |node: &NodeName| {
                self.weights.contains_key(node) && self.can_hold(node, entry.shard)
            };
            match fit.find(fits) {
                Some(node) => self.put(entry.shard, node, weight),
                None => homeless.push((entry.shard, weight)),
            }
        }
        homeless.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        for (shard, weight) in homeless {
            let node = self
                .lightest(|node| self.is_sound(node))
                .or_else(|| self.lightest(|node| self.can_hold(node, shard)));
            if let Some(node) = node {
                self.put(shard, node, weight);
            }
        }
    }

    /// Who holds nothing.
    fn newcomers(&self) -> BTreeSet<NodeName> {
        let nodes = self.weights.iter().filter(|(_, weight)| **weight < IDLE);
        nodes.map(|(node, _)| node.clone()).collect()
    }

    /// Takes from who holds most what makes the difference to who holds least of those that shall be given something smaller.
    fn level(&mut self, shards: &[&ShardEntry], loads: &Loads, takers: &BTreeSet<NodeName>) {
        let is_free = |entry: &&ShardEntry| {
            let place = self.places.get(&entry.shard);
            place.is_some_and(|node| self.weights.contains_key(node))
        };
        let shards: Vec<_> = shards.iter().copied().filter(is_free).collect();
        let shards = &shards[..];
        let total: f64 = shards.iter().map(|entry| weight(entry.shard, loads)).sum();
        let average = total / shards.len().max(1) as f64;
        for _ in 0..shards.len() {
            let lightest = self.lightest(|node| takers.contains(node) && self.is_sound(node));
            let (Some(heaviest), Some(lightest)) = (self.heaviest(shards), lightest) else {
                return;
            };
            let gap = self.weights[&heaviest] - self.weights[&lightest];
            if gap <= average * TOLERANCE {
                return;
            }
            let movable = shards.iter().filter(|entry| {
                self.places.get(&entry.shard) == Some(&heaviest)
                    && entry.pinned.as_ref() != Some(&heaviest)
            });
            // The best is what comes closest to half of the gap.
            let miss = |shard: Shard| (weight(shard, loads) - gap / 2.0).abs();
            let best = movable
                .map(|entry| entry.shard)
                .filter(|shard| weight(*shard, loads) < gap)
                .min_by(|one, other| miss(*one).total_cmp(&miss(*other)).then(one.cmp(other)));
            let Some(shard) = best else {
                return;
            };
            let moved = weight(shard, loads);
            if let Some(weight) = self.weights.get_mut(&heaviest) {
                *weight -= moved;
            }
            self.put(shard, lightest, moved);
        }
    }

    fn put(&mut self, shard: Shard, node: NodeName, weight: f64) {
        *self.weights.entry(node.clone()).or_default() += weight;
        self.places.insert(shard, node);
    }

    /// Among those that may be given something.
    fn lightest(&self, may: impl Fn(&NodeName) -> bool) -> Option<NodeName> {
        let nodes = self.weights.iter();
        let mut nodes: Vec<_> = nodes.filter(|(name, _)| may(name)).collect();
        nodes.sort_by(|one, other| one.1.total_cmp(other.1).then(one.0.cmp(other.0)));
        nodes.first().map(|(name, _)| (*name).clone())
    }

    /// Among those that may give something away.
    fn heaviest(&self, shards: &[&ShardEntry]) -> Option<NodeName> {
        let gives = |node: &NodeName| {
            shards.iter().any(|entry| {
                self.places.get(&entry.shard) == Some(node) && entry.pinned.as_ref() != Some(node)
            })
        };
        let mut nodes: Vec<_> = self
            .weights
            .iter()
            .filter(|(name, _)| gives(name))
            .collect();
        nodes.sort_by(|one, other| other.1.total_cmp(one.1).then(one.0.cmp(other.0)));
        nodes.first().map(|(name, _)| (*name).clone())
    }
}

fn weight(shard: Shard, loads: &Loads) -> f64 {
    let load = loads.get(&shard).copied().unwrap_or(0.0);
    IDLE + if load.is_finite() { load.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests;

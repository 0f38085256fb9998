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

/// Where shards shall go, as far as the register does not say so already. Loads rise and fall by themselves, and each move costs: nodes that hold something are
/// made to hold as much as each other only when that is due. Who cannot take a shard does not get it as long as there is somebody else, and nothing more of its
/// family.
pub fn wishes(
    view: &RegisterView,
    (loads, unheld): (&Loads, &Unheld),
    is_due: bool,
) -> Vec<(Shard, Option<NodeName>)> {
    let mut wishes = Vec::new();
    for family in Family::ALL {
        let shards = view.shards.iter();
        let shards: Vec<_> = shards
            .filter(|entry| entry.shard.family == family)
            .collect();
        let mut desk = Desk::new(view, family, unheld);
        desk.seat(view, &shards, loads);
        if is_due || desk.has_newcomer() {
            desk.level(&shards, loads);
        }
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

    /// Whether somebody holds nothing.
    fn has_newcomer(&self) -> bool {
        let mut nodes = self.weights.iter();
        nodes.any(|(node, weight)| *weight < IDLE && self.is_sound(node))
    }

    /// Takes from who holds most what makes the difference to who holds least smaller.
    fn level(&mut self, shards: &[&ShardEntry], loads: &Loads) {
        let is_free = |entry: &&ShardEntry| {
            let place = self.places.get(&entry.shard);
            place.is_some_and(|node| self.weights.contains_key(node))
        };
        let shards: Vec<_> = shards.iter().copied().filter(is_free).collect();
        let shards = &shards[..];
        let total: f64 = shards.iter().map(|entry| weight(entry.shard, loads)).sum();
        let average = total / shards.len().max(1) as f64;
        for _ in 0..shards.len() {
            let lightest = self.lightest(|node| self.is_sound(node));
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
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const SHARDS: u16 = 16;

    fn name(number: usize) -> NodeName {
        NodeName::parse(&format!("n{number}")).unwrap()
    }

    fn node(number: usize) -> NodeEntry {
        NodeEntry {
            roles: Family::ALL.map(|family| role_of(family).to_owned()).into(),
            joined_ms: number as u64,
            left_ms: 1_000,
            ..NodeEntry::new(name(number), Uuid::from_u128(number as u128 + 1))
        }
    }

    fn house(nodes: usize) -> RegisterView {
        let shards = Family::ALL.into_iter().flat_map(|family| {
            (0..SHARDS).map(move |number| ShardEntry {
                shard: Shard { family, number },
                holder: None,
                term: 0,
                wanted: None,
                pinned: None,
                alone: false,
            })
        });
        RegisterView {
            nodes: (0..nodes).map(node).collect(),
            shards: shards.collect(),
        }
    }

    /// Everything goes where it shall; how many moved away from a living node.
    fn settle(view: &mut RegisterView, loads: &Loads) -> usize {
        let mut moves = 0;
        for (shard, node) in wishes(view, (loads, &Unheld::new()), true) {
            let nodes = view.nodes.clone();
            let entry = view.shards.iter_mut().find(|entry| entry.shard == shard);
            let entry = entry.unwrap();
            let to = nodes.iter().find(|one| Some(&one.name) == node.as_ref());
            moves += usize::from(entry.holder.is_some());
            entry.holder = to.map(|node| node.incarnation);
            entry.wanted = node;
        }
        moves
    }

    fn counts(view: &RegisterView, family: Family) -> BTreeMap<NodeName, usize> {
        let mut counts: BTreeMap<_, _> = view
            .nodes
            .iter()
            .filter(|node| may_hold(node, family))
            .map(|node| (node.name.clone(), 0))
            .collect();
        for entry in view
            .shards
            .iter()
            .filter(|entry| entry.shard.family == family)
        {
            if let Some(node) = &entry.wanted {
                *counts.entry(node.clone()).or_default() += 1;
            }
        }
        counts
    }

    fn spread(view: &RegisterView) -> usize {
        let of = |family| {
            let counts = counts(view, family);
            let (most, least) = (counts.values().max(), counts.values().min());
            most.unwrap_or(&0) - least.unwrap_or(&0)
        };
        Family::ALL.into_iter().map(of).max().unwrap_or(0)
    }

    #[test]
    fn a_node_that_comes_takes_its_part_and_nothing_else_moves() {
        let mut view = house(3);
        settle(&mut view, &Loads::new());
        view.nodes.push(node(3));
        let moves = settle(&mut view, &Loads::new());
        assert!(spread(&view) <= 1);
        assert_eq!(moves, Family::ALL.len() * usize::from(SHARDS / 4));
    }

    #[test]
    fn a_node_that_drains_gives_all_away_and_keeps_nothing() {
        let mut view = house(4);
        settle(&mut view, &Loads::new());
        view.nodes[1].standing = Standing::Draining;
        let moves = settle(&mut view, &Loads::new());
        assert_eq!(moves, Family::ALL.len() * usize::from(SHARDS / 4));
        assert!(
            view.shards
                .iter()
                .all(|entry| entry.wanted != Some(name(1)))
        );
        assert!(spread(&view) <= 1);
    }

    #[test]
    fn who_has_not_the_role_holds_nothing_of_the_family() {
        let mut view = house(3);
        view.nodes[0].roles = vec!["users".into()];
        settle(&mut view, &Loads::new());
        let mut rooms = view
            .shards
            .iter()
            .filter(|entry| entry.shard.family == Family::Rooms);
        assert!(rooms.all(|entry| entry.wanted.is_some() && entry.wanted != Some(name(0))));
    }

    #[test]
    fn without_a_node_nothing_is_wanted_anywhere() {
        let mut view = house(2);
        settle(&mut view, &Loads::new());
        for node in &mut view.nodes {
            node.left_ms = 0;
        }
        settle(&mut view, &Loads::new());
        assert!(view.shards.iter().all(|entry| entry.wanted.is_none()));
    }

    #[test]
    fn a_shard_that_is_pinned_alone_has_a_node_to_itself() {
        let mut view = house(3);
        settle(&mut view, &Loads::new());
        let pinned = view.shards[5].shard;
        view.shards[5].pinned = Some(name(1));
        view.shards[5].alone = true;
        let held = |view: &RegisterView| -> Vec<Shard> {
            let held = view.shards.iter();
            let held = held.filter(|entry| entry.wanted == Some(name(1)));
            held.map(|entry| entry.shard).collect()
        };
        settle(&mut view, &Loads::new());
        assert_eq!(held(&view), [pinned]);
        assert!(view.shards.iter().all(|entry| entry.wanted.is_some()));
        assert_eq!(wishes(&view, (&Loads::new(), &Unheld::new()), true), vec![]);
        // When there is nobody else the others come, too.
        view.nodes[0].left_ms = 0;
        view.nodes[2].left_ms = 0;
        settle(&mut view, &Loads::new());
        assert_eq!(held(&view).len(), view.shards.len());
        for node in &mut view.nodes {
            node.left_ms = 1_000;
        }
        settle(&mut view, &Loads::new());
        assert_eq!(held(&view), [pinned]);
        // The node that it is pinned to is dead: it is like any other.
        view.nodes[1].left_ms = 0;
        settle(&mut view, &Loads::new());
        assert_eq!(held(&view), []);
        view.nodes[1].left_ms = 1_000;
        view.shards[5].pinned = None;
        view.shards[5].alone = false;
        settle(&mut view, &Loads::new());
        assert!(spread(&view) <= 1);
    }

    #[test]
    fn a_hot_shard_gets_a_node_to_itself() {
        let mut view = house(3);
        let hot = view.shards[0].shard;
        let loads = Loads::from([(hot, 100.0)]);
        settle(&mut view, &loads);
        let at = view.shards[0].wanted.clone().unwrap();
        let family = view
            .shards
            .iter()
            .filter(|entry| entry.shard.family == hot.family);
        let beside = family.filter(|entry| entry.wanted.as_ref() == Some(&at));
        assert_eq!(beside.count(), 1);
    }

    #[test]
    fn loads_that_change_move_nothing_before_it_is_due() {
        let mut view = house(3);
        settle(&mut view, &Loads::new());
        let loads = Loads::from([(view.shards[0].shard, 100.0)]);
        assert_eq!(wishes(&view, (&loads, &Unheld::new()), false), vec![]);
        assert!(!wishes(&view, (&loads, &Unheld::new()), true).is_empty());
        // Who comes is given its part at once, and so is what has nobody.
        view.nodes.push(node(3));
        assert!(!wishes(&view, (&Loads::new(), &Unheld::new()), false).is_empty());
        settle(&mut view, &Loads::new());
        view.nodes[0].left_ms = 0;
        let homeless = wishes(&view, (&Loads::new(), &Unheld::new()), false);
        assert_eq!(homeless.len(), Family::ALL.len() * usize::from(SHARDS / 4));
    }

    #[test]
    fn who_cannot_take_a_shard_does_not_get_it() {
        let mut view = house(3);
        settle(&mut view, &Loads::new());
        let (shard, at) = (view.shards[0].shard, view.shards[0].wanted.clone());
        let at = at.unwrap();
        // It was given back, and is still wanted there.
        view.shards[0].holder = None;
        let loads = Loads::new();
        let unheld = Unheld::from([(at.clone(), shard)]);
        let moved = wishes(&view, (&loads, &unheld), true);
        assert_eq!(moved.len(), 1);
        assert!(moved[0].0 == shard && moved[0].1.is_some() && moved[0].1 != Some(at.clone()));
        // Nor by a pin; but where nobody else can it stays.
        view.shards[0].pinned = Some(at.clone());
        assert_eq!(wishes(&view, (&loads, &unheld), true).len(), 1);
        let all = (0..3).map(|number| (name(number), shard)).collect();
        assert_eq!(wishes(&view, (&loads, &all), true), vec![]);
        // Nothing more is given to it, even if it holds nothing.
        for entry in &mut view.shards {
            if entry.wanted.as_ref() == Some(&at) {
                (entry.wanted, entry.holder) = (None, None);
            }
        }
        let given = wishes(&view, (&loads, &unheld), true);
        let of_family = given.iter().filter(|wish| wish.0.family == shard.family);
        let nodes: Vec<_> = of_family.map(|wish| wish.1.clone()).collect();
        assert!(nodes.len() > 1 && !nodes.contains(&Some(at)));
    }

    proptest! {
        #[test]
        fn everything_is_held_evenly_and_stays(
            nodes in 1..9_usize,
            dead in proptest::collection::vec(any::<bool>(), 8),
            pins in proptest::collection::vec((0..48_usize, 0..8_usize), 0..6),
            loads in proptest::collection::vec(0.0..3.0_f64, 48),
        ) {
            let mut view = house(nodes);
            settle(&mut view, &Loads::new());
            for (node, dead) in view.nodes.iter_mut().zip(&dead).skip(1) {
                node.left_ms = if *dead { 0 } else { 1_000 };
            }
            let living: Vec<_> = view.nodes.iter().filter(|node| node.is_alive()).map(|node| node.name.clone()).collect();
            for (shard, node) in pins {
                view.shards[shard].pinned = Some(name(node));
            }
            let loads: Loads = view.shards.iter().map(|entry| entry.shard).zip(loads).collect();
            settle(&mut view, &loads);
            for entry in &view.shards {
                let at = entry.wanted.clone().unwrap();
                prop_assert!(living.contains(&at));
                if let Some(pinned) = &entry.pinned && living.contains(pinned) {
                    prop_assert_eq!(pinned, &at);
                }
            }
            // Asked again, nothing moves.
            prop_assert_eq!(wishes(&view, (&loads, &Unheld::new()), true), vec![]);
        }
    }
}

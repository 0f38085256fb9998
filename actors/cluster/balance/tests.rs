//! Where shards go, of made-up registers.

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
    for (shard, node) in wishes(view, (loads, &Unheld::new()), Levelling::Everybody) {
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
    assert_eq!(
        wishes(&view, (&Loads::new(), &Unheld::new()), Levelling::Everybody),
        vec![]
    );
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
    let wished = |view: &RegisterView, loads: &Loads, levelling| {
        wishes(view, (loads, &Unheld::new()), levelling)
    };
    assert_eq!(wished(&view, &loads, Levelling::Newcomers), vec![]);
    assert!(!wished(&view, &loads, Levelling::Everybody).is_empty());
    // Who comes is given its part before that, and nobody else is given anything.
    view.nodes.push(node(3));
    assert_eq!(wished(&view, &loads, Levelling::Nobody), vec![]);
    let given = wished(&view, &loads, Levelling::Newcomers);
    assert!(!given.is_empty());
    assert!(given.iter().all(|(_, node)| *node == Some(name(3))));
    settle(&mut view, &Loads::new());
    // What has nobody does not wait.
    view.nodes[0].left_ms = 0;
    let homeless = wished(&view, &Loads::new(), Levelling::Nobody);
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
    let moved = wishes(&view, (&loads, &unheld), Levelling::Everybody);
    assert_eq!(moved.len(), 1);
    assert!(moved[0].0 == shard && moved[0].1.is_some() && moved[0].1 != Some(at.clone()));
    // Nor by a pin; but where nobody else can it stays.
    view.shards[0].pinned = Some(at.clone());
    assert_eq!(
        wishes(&view, (&loads, &unheld), Levelling::Everybody).len(),
        1
    );
    let all = (0..3).map(|number| (name(number), shard)).collect();
    assert_eq!(wishes(&view, (&loads, &all), Levelling::Everybody), vec![]);
    // Nothing more is given to it, even if it holds nothing.
    for entry in &mut view.shards {
        if entry.wanted.as_ref() == Some(&at) {
            (entry.wanted, entry.holder) = (None, None);
        }
    }
    let given = wishes(&view, (&loads, &unheld), Levelling::Everybody);
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
        prop_assert_eq!(wishes(&view, (&loads, &Unheld::new()), Levelling::Everybody), vec![]);
    }
}

//! Where shards shall go: one node says so, the one that has lived longest. Any other would say the same.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use playhouse_schema::{
    address::Shard,
    register::{Incarnation, NodeEntry, NodeName, RegisterView},
};

use super::{
    balance::{self, Levelling},
    facts,
    ward::Ward,
};

/// Who has begun anew where most of the others may be about to says for so many leases nothing about where shards shall go: after the database was away
/// everybody has.
const SILENT_LEASES: u32 = 2;

/// Nodes are made to hold as much as each other at most so often, as long as each of them holds something.
const LEVEL_EVERY: Duration = Duration::from_secs(30);

/// Who has come holds nothing for so many beats after the last that came: nodes that are started together are given their parts together, of what would move
/// more than once otherwise, and when they have started.
const CALM_BEATS: u32 = 2;

/// Not longer than this after the first.
const CALM_BEATS_MAX: u32 = 10;

/// So long after another node's lease has ended is looked again.
const AFTER_LEASE: Duration = Duration::from_millis(20);

/// The time between two beats while somebody is not heard that lives.
const UNHEARD_PAUSE: Duration = Duration::from_millis(100);

/// There is never less time between two beats that nothing asked for.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// A node whose lease ran out so long before that of the one that looks has nothing to do with it, and is not waited for.
const MISSED_FOR: Duration = Duration::from_secs(300);

/// Others may be about to join again, as this node has: their shards are not free for others yet.
pub(super) struct Silence {
    until: Instant,
    /// When this node was heard last before it lost its lease.
    heard: Instant,
}

impl Silence {
    /// Of who has just joined again; `None` when half of the others have lived on. Who has left is not counted.
    fn of(
        view: &RegisterView,
        own: &NodeName,
        (heard, lasts): (Instant, Duration),
    ) -> Option<Self> {
        let silence = Self {
            until: Instant::now() + lasts,
            heard,
        };
        let others = view.nodes.iter().filter(|node| node.name != *own);
        let missed = others.clone().filter(|node| silence.misses(node)).count();
        let living = others.filter(|node| node.is_alive()).count();
        (living < missed).then_some(silence)
    }

    /// Whether somebody is still missed.
    fn holds(&self, view: &RegisterView) -> bool {
        Instant::now() < self.until && view.nodes.iter().any(|node| self.misses(node))
    }

    /// Whether a node may have lost its lease as this one has.
    fn misses(&self, node: &NodeEntry) -> bool {
        let most = self.heard.elapsed() + MISSED_FOR;
        !node.is_alive() && node.silent_ms > 0 && Duration::from_millis(node.silent_ms) <= most
    }
}

/// Who has come lately.
#[derive(Default)]
pub(super) struct Arrivals {
    known: BTreeSet<Incarnation>,
    /// When the first and the last came of those that hold nothing yet.
    times: Option<(Instant, Instant)>,
}

impl Arrivals {
    /// Whether nobody has come for a while, by those who live now.
    fn are_over(&mut self, living: BTreeSet<Incarnation>, now: Instant, beat: Duration) -> bool {
        if !living.is_subset(&self.known) {
            let first = self.times.map_or(now, |(first, _)| first);
            self.times = Some((first, now));
        }
        self.known = living;
        let are_over = self.times.is_none_or(|(first, last)| {
            now - last >= beat * CALM_BEATS || now - first >= beat * CALM_BEATS_MAX
        });
        if are_over {
            self.times = None;
        }
        are_over
    }
}

impl Ward {
    /// How long to wait for the next beat if nothing happens, by a register that has just been read: who holds shards is missed as soon as its lease has
    /// ended, and who is not heard could have told what stands in the register.
    pub(super) fn pause(&self) -> Duration {
        if self.life.lock().is_hearing_less {
            return UNHEARD_PAUSE.min(self.settings.beat);
        }
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
        let mut life = self.life.lock();
        let lasts = self.settings.lease * SILENT_LEASES;
        // Who loses it again meanwhile still waits for those that it has missed before.
        let before = life.silence.as_ref();
        let before = before.filter(|silence| Instant::now() < silence.until);
        let heard = before.map_or(life.heard, |silence| silence.heard);
        life.silence = Silence::of(view, &self.settings.name, (heard, lasts));
    }

    /// Whether this node says where shards shall go.
    pub(super) fn leads(&self, view: &RegisterView) -> bool {
        if let Some(silence) = &self.life.lock().silence
            && silence.holds(view)
        {
            return false;
        }
        let living = view.nodes.iter().filter(|node| node.is_alive());
        let eldest = living.min_by_key(|node| (node.joined_ms, node.name.clone()));
        eldest.is_some_and(|node| node.name == self.settings.name)
    }

    /// Who is to be given something now.
    fn levelling(&self, view: &RegisterView) -> Levelling {
        let living = view.nodes.iter().filter(|node| node.is_alive());
        let living = living.map(|node| node.incarnation).collect();
        let (mut life, now) = (self.life.lock(), Instant::now());
        if !life.arrivals.are_over(living, now, self.settings.beat) {
            return Levelling::Nobody;
        }
        let is_due = |levelled| now - levelled >= LEVEL_EVERY;
        if !life.levelled.is_none_or(is_due) {
            return Levelling::Newcomers;
        }
        life.levelled = Some(now);
        Levelling::Everybody
    }

    /// Says where shards shall go, to the register, and then that there is something new to those whom it concerns.
    pub(super) fn place(self: &Arc<Self>, view: Arc<RegisterView>) {
        let (loads, unheld) = facts::told(&view);
        let wishes = balance::wishes(&view, (&loads, &unheld), self.levelling(&view));
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
    use playhouse_schema::{address::Family, register::ShardEntry};
    use uuid::Uuid;

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    /// `a`, which has just begun anew after ten minutes, and others: how much of their leases is left, and for how long they are silent, seconds.
    fn after_an_outage(others: &[(u64, u64)]) -> (RegisterView, Option<Silence>) {
        let named = others.iter().zip(["b", "c", "d"]);
        let mut nodes: Vec<_> = named
            .map(|((left_s, silent_s), text)| NodeEntry {
                left_ms: left_s * 1_000,
                silent_ms: silent_s * 1_000,
                ..NodeEntry::new(name(text), Uuid::nil())
            })
            .collect();
        nodes.push(NodeEntry {
            left_ms: 1_000,
            ..NodeEntry::new(name("a"), Uuid::nil())
        });
        let view = RegisterView {
            nodes,
            shards: Vec::new(),
        };
        let heard = Instant::now().checked_sub(Duration::from_secs(600));
        let heard = heard.unwrap();
        let silence = Silence::of(&view, &name("a"), (heard, Duration::from_secs(60)));
        (view, silence)
    }

    #[test]
    fn who_began_anew_waits_for_those_who_may() {
        let (mut view, silence) = after_an_outage(&[(0, 590), (0, 600), (0, 0)]);
        let mut silence = silence.expect("the others are missed");
        assert!(silence.holds(&view));
        // One is there again, the other one not yet.
        (view.nodes[0].left_ms, view.nodes[0].silent_ms) = (1_000, 0);
        assert!(silence.holds(&view));
        (view.nodes[1].left_ms, view.nodes[1].silent_ms) = (1_000, 0);
        assert!(!silence.holds(&view), "nobody waits for who has left");
        view.nodes[1].left_ms = 0;
        view.nodes[1].silent_ms = 1;
        silence.until = Instant::now();
        assert!(!silence.holds(&view), "nobody waits for ever");
        // Most have lived on, have left, or are dead since long before.
        for others in [
            &[(1, 0), (0, 590), (1, 0)][..],
            &[(1, 0), (0, 590)],
            &[(0, 0), (0, 0)],
            &[(0, 3_600), (0, 0)],
            &[],
        ] {
            assert!(after_an_outage(others).1.is_none(), "{others:?}");
        }
    }

    #[test]
    fn who_comes_soon_after_another_is_waited_for() {
        let (mut arrivals, begun) = (Arrivals::default(), Instant::now());
        let beat = Duration::from_secs(1);
        let mut are_over = |nodes: u128, after_s: u32| {
            let living = (0..nodes).map(Uuid::from_u128).collect();
            arrivals.are_over(living, begun + beat * after_s, beat)
        };
        let calm_s = CALM_BEATS;
        assert!(!are_over(1, 0));
        assert!(!are_over(2, 1));
        assert!(!are_over(2, calm_s));
        assert!(are_over(2, 1 + calm_s));
        assert!(are_over(1, 10), "who goes is nobody who comes");
        // They come and come.
        let max_s = CALM_BEATS_MAX;
        assert!((0..max_s).all(|after_s| !are_over(2 + u128::from(after_s), 20 + after_s)));
        assert!(are_over(100, 20 + max_s));
    }

    #[test]
    fn whom_a_wish_concerns_is_told() {
        let node = |text: &str, number, left_ms| NodeEntry {
            left_ms,
            ..NodeEntry::new(name(text), Uuid::from_u128(number))
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

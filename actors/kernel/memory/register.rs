//! A register of a cluster in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Layout, Shard},
    port::{StoreError, StoreFuture},
    register::{
        Beat, Claim, Handed, Incarnation, NodeEntry, NodeName, Pulse, Register, RegisterView,
        ShardEntry, Standing, not_beside_alone,
    },
};

use super::ready;

/// See [`Register`].
pub(crate) struct MemoryRegister {
    started: Instant,
    pages: Mutex<Pages>,
}

struct Pages {
    nodes: BTreeMap<NodeName, (NodeEntry, Instant)>,
    shards: BTreeMap<Shard, ShardEntry>,
    resting: BTreeSet<NodeName>,
    /// Lives that did not run out by themselves.
    ended: BTreeSet<Incarnation>,
    secrets: BTreeMap<String, Bytes>,
    is_away: bool,
    /// So many beats are not answered.
    silent: usize,
    /// Nobody is told that a life has ended.
    is_mute: bool,
    /// A node of no cluster, and until when.
    alone: Option<(String, Instant)>,
}

impl Pages {
    fn is_alive(&self, incarnation: Incarnation) -> bool {
        let mut nodes = self.nodes.values();
        nodes.any(|(node, until)| node.incarnation == incarnation && Instant::now() < *until)
    }

    fn be_among_nodes(&self) -> Result<(), StoreError> {
        match &self.alone {
            Some((who, until)) if Instant::now() < *until => Err(not_beside_alone(who)),
            _ => Ok(()),
        }
    }

    fn silent_ms(&self, incarnation: Incarnation, silent: Option<Duration>) -> u64 {
        let silent = silent.filter(|_| !self.ended.contains(&incarnation));
        silent.map_or(0, |silent| silent.as_millis() as u64 + 1)
    }

    fn view(&self) -> RegisterView {
        let now = Instant::now();
        let nodes = self.nodes.values().map(|(node, until)| NodeEntry {
            left_ms: until.saturating_duration_since(now).as_millis() as u64,
            silent_ms: self.silent_ms(node.incarnation, now.checked_duration_since(*until)),
            ..node.clone()
        });
        RegisterView {
            nodes: nodes.collect(),
            shards: self.shards.values().cloned().collect(),
        }
    }
}

impl MemoryRegister {
    /// A register without nodes.
    pub(crate) fn new(layout: Layout) -> Self {
        let shards = Family::ALL.into_iter().flat_map(|family| {
            (0..layout.shards).map(move |number| {
                let shard = Shard { family, number };
                let entry = ShardEntry {
                    shard,
                    holder: None,
                    term: 0,
                    wanted: None,
                    pinned: None,
                    alone: false,
                };
                (shard, entry)
            })
        });
        Self {
            started: Instant::now(),
            pages: Mutex::new(Pages {
                nodes: BTreeMap::new(),
                shards: shards.collect(),
                resting: BTreeSet::new(),
                ended: BTreeSet::new(),
                secrets: BTreeMap::new(),
                is_away: false,
                silent: 0,
                is_mute: false,
                alone: None,
            }),
        }
    }

    /// The database is away, or back.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.pages.lock().is_away = is_away;
    }

    /// So many beats are not answered.
    pub(crate) fn be_silent(&self, beats: usize) {
        self.pages.lock().silent = beats;
    }

    /// Who ends a life is not answered any more.
    pub(crate) fn be_mute(&self) {
        self.pages.lock().is_mute = true;
    }

    /// How many beats are still not to be answered.
    pub(crate) fn silent(&self) -> usize {
        self.pages.lock().silent
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut Pages) -> Result<T, StoreError>,
    ) -> StoreFuture<'a, T> {
        let mut pages = self.pages.lock();
        let done = if pages.is_away {
            Err(StoreError::Database("away".into()))
        } else {
            work(&mut pages)
        };
        Box::pin(std::future::ready(done))
    }

    fn entry(pages: &Pages, beat: &Beat, joined_ms: u64) -> (NodeEntry, Instant) {
        let entry = NodeEntry {
            name: beat.name.clone(),
            incarnation: beat.incarnation,
            address: beat.address.clone(),
            roles: beat.roles.clone(),
            standing: if pages.resting.contains(&beat.name) {
                Standing::Draining
            } else {
                beat.standing
            },
            facts: beat.facts.clone(),
            joined_ms,
            left_ms: 0,
            silent_ms: 0,
        };
        (entry, Instant::now() + Duration::from_millis(beat.lease_ms))
    }
}

impl Register for MemoryRegister {
    fn join<'a>(&'a self, beat: &'a Beat) -> StoreFuture<'a, RegisterView> {
        self.write(|pages| {
            pages.be_among_nodes()?;
            let known = pages.nodes.get(&beat.name);
            if known.is_some_and(|(node, until)| {
                node.incarnation != beat.incarnation && Instant::now() < *until
            }) {
                return Err(StoreError::Locked("the name is taken".into()));
            }
            let joined_ms = self.started.elapsed().as_millis() as u64;
            let entry = Self::entry(pages, beat, joined_ms);
            pages.nodes.insert(beat.name.clone(), entry);
            Ok(pages.view())
        })
    }

    fn beat<'a>(&'a self, beat: &'a Beat) -> StoreFuture<'a, Pulse> {
        let is_silent = {
            let mut pages = self.pages.lock();
            let silent = pages.silent;
            pages.silent = silent.saturating_sub(1);
            silent > 0
        };
        if is_silent {
            return Box::pin(std::future::pending());
        }
        self.write(|pages| {
            if !pages.is_alive(beat.incarnation) {
                return Ok(Pulse::Lapsed);
            }
            let joined_ms = pages
                .nodes
                .get(&beat.name)
                .map_or(0, |(node, _)| node.joined_ms);
            let entry = Self::entry(pages, beat, joined_ms);
            pages.nodes.insert(beat.name.clone(), entry);
            Ok(Pulse::Alive(pages.view()))
        })
    }

    fn leave(&self, incarnation: Incarnation) -> StoreFuture<'_, ()> {
        if self.pages.lock().is_mute {
            return Box::pin(std::future::pending());
        }
        self.write(|pages| {
            pages.ended.insert(incarnation);
            for (node, until) in pages.nodes.values_mut() {
                if node.incarnation == incarnation {
                    *until = Instant::now();
                    node.facts.clear();
                }
            }
            for entry in pages.shards.values_mut() {
                if entry.holder == Some(incarnation) {
                    entry.holder = None;
                }
            }
            Ok(())
        })
    }

    fn forget<'a>(&'a self, name: &'a NodeName) -> StoreFuture<'a, bool> {
        self.write(|pages| {
            let known = pages.nodes.get(name);
            let is_dead = known.is_some_and(|(_, until)| *until <= Instant::now());
            if is_dead {
                pages.nodes.remove(name);
                pages.resting.remove(name);
            }
            Ok(is_dead)
        })
    }

    fn claim<'a>(
        &'a self,
        incarnation: Incarnation,
        shards: &'a [Shard],
    ) -> StoreFuture<'a, Vec<Claim>> {
        self.write(|pages| {
            let mut claims = Vec::new();
            if !pages.is_alive(incarnation) {
                return Ok(claims);
            }
            for shard in shards {
                let holder = pages.shards.get(shard).and_then(|entry| entry.holder);
                if holder.is_some_and(|holder| holder != incarnation && pages.is_alive(holder)) {
                    continue;
                }
                if let Some(entry) = pages.shards.get_mut(shard) {
                    entry.holder = Some(incarnation);
                    entry.term += 1;
                    claims.push(Claim::new(*shard, entry.term));
                }
            }
            Ok(claims)
        })
    }

    fn release<'a>(&'a self, incarnation: Incarnation, claims: &'a [Claim]) -> StoreFuture<'a, ()> {
        self.write(|pages| {
            for claim in claims {
                if let Some(entry) = pages.shards.get_mut(&claim.shard)
                    && entry.holder == Some(incarnation)
                    && entry.term == claim.term()
                {
                    entry.holder = None;
                }
            }
            Ok(())
        })
    }

    fn hand_over<'a>(
        &'a self,
        incarnation: Incarnation,
        claim: Claim,
        to: &'a NodeName,
    ) -> StoreFuture<'a, Option<Handed>> {
        self.write(|pages| {
            let next = pages.nodes.get(to);
            let next = next.filter(|(node, until)| {
                node.standing == Standing::Serving && Instant::now() < *until
            });
            let life = next.map(|(node, _)| node.incarnation);
            let held = pages
                .shards
                .get_mut(&claim.shard)
                .filter(|entry| entry.holder == Some(incarnation) && entry.term == claim.term());
            Ok(held.and_then(|entry| {
                entry.holder = life.filter(|_| entry.wanted.as_ref() == Some(to));
                let life = entry.holder?;
                entry.term += 1;
                Some(Handed {
                    life,
                    shard: claim.shard,
                    term: entry.term,
                })
            }))
        })
    }

    fn want<'a>(&'a self, wishes: &'a [(Shard, Option<NodeName>)]) -> StoreFuture<'a, ()> {
        self.write(|pages| {
            for (shard, node) in wishes {
                if let Some(entry) = pages.shards.get_mut(shard) {
                    entry.wanted.clone_from(node);
                }
            }
            Ok(())
        })
    }

    fn stand_alone<'a>(&'a self, who: &'a str, for_ms: u64) -> StoreFuture<'a, Vec<NodeName>> {
        self.write(|pages| {
            let now = Instant::now();
            pages.alone = Some((who.to_owned(), now + Duration::from_millis(for_ms)));
            let living = pages.nodes.values().filter(|(_, until)| now < *until);
            Ok(living.map(|(node, _)| node.name.clone()).collect())
        })
    }

    fn be_among_nodes(&self) -> StoreFuture<'_, ()> {
        self.write(|pages| pages.be_among_nodes())
    }

    fn pin(&self, shard: Shard, node: Option<NodeName>, alone: bool) -> StoreFuture<'_, ()> {
        self.write(|pages| {
            if let Some(entry) = pages.shards.get_mut(&shard) {
                entry.alone = alone && node.is_some();
                entry.pinned = node;
            }
            Ok(())
        })
    }

    fn rest<'a>(&'a self, name: &'a NodeName, rests: bool) -> StoreFuture<'a, ()> {
        self.write(|pages| {
            if rests {
                pages.resting.insert(name.clone());
            } else {
                pages.resting.remove(name);
            }
            Ok(())
        })
    }

    fn view(&self) -> StoreFuture<'_, RegisterView> {
        ready(self.pages.lock().view())
    }

    fn secret<'a>(
        &'a self,
        name: &'a str,
        proposed: Option<&'a [u8]>,
    ) -> StoreFuture<'a, Option<Bytes>> {
        self.write(|pages| {
            if let Some(proposed) = proposed {
                let secret = pages.secrets.entry(name.to_owned());
                secret.or_insert_with(|| Bytes::copy_from_slice(proposed));
            }
            Ok(pages.secrets.get(name).cloned())
        })
    }

    fn replace_secret<'a>(&'a self, name: &'a str, payload: &'a [u8]) -> StoreFuture<'a, ()> {
        self.write(|pages| {
            let payload = Bytes::copy_from_slice(payload);
            pages.secrets.insert(name.to_owned(), payload);
            Ok(())
        })
    }
}

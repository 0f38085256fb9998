//! Walks a shard's chain and says where it is damaged.
//!
//! What is checked of each record: its position follows the one before, its chain value covers its header and payload and the chain before it, and, where the payload
//! was replaced, the new payload is the one that the newest erasure note of that record speaks of. At the end the walk must have passed the shard's head.

use std::collections::BTreeMap;

use crate::{
    address::{Entity, Position, Sequence, Shard},
    chain::{self, Digest, GENESIS, Link},
    port::{ChainedRecord, LogStore, StoreError},
    record::{self, codec::ErasureNote},
};

/// Records read at a time.
const PAGE: usize = 1_000;

/// A shard whose chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedShard {
    /// The shard.
    pub shard: Shard,
    /// Everything up to this position was checked.
    pub position: Position,
    /// The chain value there.
    pub chain: Digest,
    /// How many of the records have a replaced payload.
    pub erased: u64,
}

/// Why a shard's chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A record is missing, changed or out of place.
    #[error("shard {shard} position {position}: {what}")]
    Record {
        /// The shard.
        shard: Shard,
        /// Where.
        position: Position,
        /// What is wrong.
        what: String,
    },
    /// The shard could not be read to its end.
    #[error("shard {shard} after position {after}: {error}")]
    Unreadable {
        /// The shard.
        shard: Shard,
        /// The last position that was read and found good.
        after: Position,
        /// What the database said.
        error: StoreError,
    },
}

/// Checks a shard from its first record to its newest. Records that are appended meanwhile may or may not be included.
///
/// Reads in pages; keeps in memory one entry for each replaced payload.
pub async fn verify_shard(store: &dyn LogStore, shard: Shard) -> Result<VerifiedShard, Damage> {
    let mut walk = Walk::new(shard);
    let heads = store.heads(shard.family).await;
    let heads = heads.map_err(|error| walk.unreadable(error))?;
    let head = heads.into_iter().find(|head| head.shard == shard);
    let head = head.ok_or_else(|| walk.damage(0, "the shard has no head"))?;
    loop {
        let page = store.read_chain(shard, walk.position, PAGE).await;
        let page = page.map_err(|error| walk.unreadable(error))?;
        for chained in &page {
            walk.step(chained)?;
            if walk.position == head.position && walk.chain != head.chain {
                return Err(walk.damage(walk.position, "the shard's head has another chain value"));
            }
        }
        if page.len() < PAGE {
            break;
        }
    }
    if walk.position < head.position {
        return Err(walk.damage(
            walk.position + 1,
            &format!("missing, though the shard's head is at {}", head.position),
        ));
    }
    walk.check_replaced(store).await?;
    Ok(VerifiedShard {
        shard,
        position: walk.position,
        chain: walk.chain,
        erased: walk.erased(),
    })
}

/// Whether a record is the one after a position with this chain value: the digest of its payload, or what is wrong with it.
pub(crate) fn check_link(
    (position, chain): (Position, &Digest),
    chained: &ChainedRecord,
) -> Result<Digest, &'static str> {
    let record = &chained.record;
    if record.position != position + 1 {
        return Err("missing");
    }
    let payload = chain::digest(&record.payload);
    let link = Link {
        position: record.position,
        entity: record.entity.as_str(),
        sequence: record.sequence,
        kind: record.kind,
        epoch: record.epoch,
        at_ms: record.at_ms,
    };
    let first = chained.erased.as_ref().unwrap_or(&payload);
    if chain::link(chain, link, first) != chained.chain {
        return Err("the chain value does not fit the record");
    }
    Ok(payload)
}

/// A replaced payload, as it was read.
struct Replaced {
    position: Position,
    digest: Digest,
}

/// A walk along a shard's chain.
pub(crate) struct Walk {
    shard: Shard,
    /// The position that was reached …
    pub(crate) position: Position,
    /// … and the chain value there.
    pub(crate) chain: Digest,
    /// Only links are looked at: nothing of the following is kept.
    is_brief: bool,
    replaced: BTreeMap<(Entity, Sequence), Replaced>,
    /// The newest note on each replaced record, with its own position.
    notes: BTreeMap<(Entity, Sequence), (Digest, Position)>,
}

impl Walk {
    /// Before the first record.
    pub(crate) fn new(shard: Shard) -> Self {
        Self {
            shard,
            position: 0,
            chain: GENESIS,
            is_brief: false,
            replaced: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }

    /// The same for one who only looks at links, and keeps nothing in memory: which payloads were replaced is not known afterwards.
    pub(crate) fn of_links(shard: Shard) -> Self {
        Self {
            is_brief: true,
            ..Self::new(shard)
        }
    }

    fn damage(&self, position: Position, what: &str) -> Damage {
        Damage::Record {
            shard: self.shard,
            position,
            what: what.to_owned(),
        }
    }

    fn unreadable(&self, error: StoreError) -> Damage {
        Damage::Unreadable {
            shard: self.shard,
            after: self.position,
            error,
        }
    }

    /// How many of the records that were passed have a replaced payload.
    pub(crate) fn erased(&self) -> u64 {
        self.replaced.len() as u64
    }

    /// Replaced payloads of which no note that was passed speaks, with their digests.
    pub(crate) fn unnoted(&self) -> Vec<(Entity, Sequence, Digest)> {
        let unnoted = self.replaced.iter().filter(|(address, replaced)| {
            let note = self.notes.get(*address);
            note.is_none_or(|(noted, _)| *noted != replaced.digest)
        });
        unnoted
            .map(|((entity, sequence), replaced)| (entity.clone(), *sequence, replaced.digest))
            .collect()
    }

    /// Passes the next record.
    pub(crate) fn step(&mut self, chained: &ChainedRecord) -> Result<(), Damage> {
        let record = &chained.record;
        let position = self.position + 1;
        let payload = check_link((self.position, &self.chain), chained)
            .map_err(|what| self.damage(position, what))?;
        let address = |sequence| (record.entity.clone(), sequence);
        if chained.erased.is_some() && !self.is_brief {
            let replaced = Replaced {
                position,
                digest: payload,
            };
            self.replaced.insert(address(record.sequence), replaced);
        }
        if record.kind == record::ERASURE && !self.is_brief {
            let note: ErasureNote = rmp_serde::from_slice(&record.payload)
                .map_err(|_| self.damage(position, "the erasure note does not decode"))?;
            for sequence in note.sequences() {
                self.notes
                    .insert(address(sequence), (note.digest, position));
            }
        }
        self.position = position;
        self.chain = chained.chain;
        Ok(())
    }

    /// Each replaced payload must be what the newest note on it says, and each note must speak of a replaced payload.
    pub(crate) async fn check_replaced(&self, store: &dyn LogStore) -> Result<(), Damage> {
        for (address, (expected, noted_at)) in &self.notes {
            let replaced = self.replaced.get(address);
            if replaced.is_some_and(|replaced| replaced.digest == *expected) {
                continue;
            }
            // The payload may have been replaced after the walk had passed it: look again.
            let now = store.read_some(&address.0, &[address.1]).await;
            let now = now.map_err(|error| self.unreadable(error))?;
            if now.first().map(|record| chain::digest(&record.payload)) != Some(*expected) {
                let position = replaced.map_or(*noted_at, |replaced| replaced.position);
                return Err(self.damage(
                    position,
                    "a replaced payload is not the one that its erasure note speaks of",
                ));
            }
        }
        for (address, replaced) in &self.replaced {
            if !self.notes.contains_key(address) {
                return Err(self.damage(
                    replaced.position,
                    "the payload was replaced without an erasure note",
                ));
            }
        }
        Ok(())
    }
}

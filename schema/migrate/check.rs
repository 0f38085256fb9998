//! Reads back what was copied.
//!
//! Each record of the target is held against the source's, each shard's chain is computed anew from what the target holds and must end in the source's head, and the
//! database itself counts the records of each kind on both sides, so that nothing stands where no walk goes.

use std::collections::BTreeMap;

use futures_util::future::try_join;

use super::{End, MigrateError, Migration, PAGE, Progress, Step, Told};
use crate::{
    address::{Family, Position},
    port::Head,
    record::Kind,
    verify::{Damage, Walk},
};

/// Positions over which one question counts.
const COUNTED: Position = 100_000;

/// What was found to be the same on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Shards that have records.
    pub shards: u64,
    /// Records whose payload was replaced since they were written.
    pub erased: u64,
    /// Records, by family and kind.
    pub kinds: BTreeMap<(Family, Kind), u64>,
}

impl Verified {
    /// All records.
    pub fn records(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Records of a family.
    pub fn records_of(&self, family: Family) -> u64 {
        let of_family = self.kinds.iter().filter(|((of, _), _)| *of == family);
        of_family.map(|(_, count)| count).sum()
    }
}

impl Migration {
    /// Compares the whole log of the target with that of the source.
    pub async fn verify(&self, told: Told<'_>) -> Result<Verified, MigrateError> {
        let mut verified = Verified::default();
        let mut progress = Progress {
            step: Step::Verification,
            done: 0,
            all: self.records(),
        };
        told(progress);
        let there = super::heads_of(&*self.to, End::To).await?;
        for (ours, theirs) in self.heads.iter().zip(&there) {
            if ours != theirs {
                return Err(MigrateError::Different {
                    shard: ours.shard,
                    position: theirs.position,
                });
            }
            verified.shards += u64::from(ours.position > 0);
            verified.erased += self
                .walk(ours, &mut |records| {
                    progress.done += records;
                    told(progress);
                })
                .await?;
            self.count(ours, &mut verified.kinds).await?;
        }
        self.check_holds().await?;
        Ok(verified)
    }

    /// Walks a shard on both sides; how many records have a replaced payload.
    async fn walk(
        &self,
        head: &Head,
        walked: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64, MigrateError> {
        let shard = head.shard;
        let (from, to) = (self.from.log(), self.to.log());
        let damaged = |damage: Damage| MigrateError::Damaged {
            end: End::To,
            damage,
        };
        let mut walk = Walk::new(shard);
        loop {
            let after = walk.position;
            let ours = async {
                let page = from.read_chain(shard, after, PAGE).await;
                page.map_err(End::From.failed())
            };
            let theirs = async {
                let page = to.read_chain(shard, after, PAGE).await;
                page.map_err(End::To.failed())
            };
            let (ours, theirs) = try_join(ours, theirs).await?;
            if ours != theirs {
                let pairs = ours.iter().zip(&theirs);
                let same = pairs.take_while(|(ours, theirs)| ours == theirs).count();
                return Err(MigrateError::Different {
                    shard,
                    position: after + same as u64 + 1,
                });
            }
            for chained in &theirs {
                walk.step(chained).map_err(damaged)?;
            }
            walked(theirs.len() as u64);
            if theirs.len() < PAGE {
                break;
            }
        }
        if (walk.position, walk.chain) != (head.position, head.chain) {
            return Err(MigrateError::Changed(shard));
        }
        walk.check_replaced(&*to).await.map_err(damaged)?;
        Ok(walk.erased())
    }

    /// Lets both databases count, stretch by stretch; the last one goes on beyond the head.
    async fn count(
        &self,
        head: &Head,
        kinds: &mut BTreeMap<(Family, Kind), u64>,
    ) -> Result<(), MigrateError> {
        let shard = head.shard;
        let mut counts: BTreeMap<Kind, (u64, u64)> = BTreeMap::new();
        let mut after = 0;
        while after <= head.position {
            let next = after + COUNTED;
            let to = if next > head.position {
                Position::MAX
            } else {
                next
            };
            let ours = self.from.count_kinds(shard, after, to).await;
            for (kind, count) in ours.map_err(End::From.failed())? {
                counts.entry(kind).or_default().0 += count;
            }
            let theirs = self.to.count_kinds(shard, after, to).await;
            for (kind, count) in theirs.map_err(End::To.failed())? {
                counts.entry(kind).or_default().1 += count;
            }
            after = next;
        }
        for (kind, (from, to)) in counts {
            if from != to {
                return Err(MigrateError::Counts {
                    shard,
                    kind,
                    from,
                    to,
                });
            }
            *kinds.entry((shard.family, kind)).or_default() += to;
        }
        Ok(())
    }
}

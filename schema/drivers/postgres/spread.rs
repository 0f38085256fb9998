//! A house that lies in several databases.
//!
//! Shard `s` of each family, its head, its records and its snapshots, is in database `s mod count`; models, cursors and the register are in the first. An
//! appender writes shards of one database only, since there are so many appenders for each.
//!
//! Who may write a shard is said in the first database, and the log is in another: no transaction spans the two, and none is needed. What crosses over is the
//! term of a claim, carried by the node that has claimed, and three facts together make it a fence:
//!
//! 1. The register gives each term of a shard once, to one life, each higher than the one before: one statement on one row.
//! 2. The shard's row beside its log takes an epoch only when it is above the one it has, or the same for the same owner
//!    ([`crate::port::LogAppender::take_under`]): one statement on one row.
//! 3. An append is one statement that finds owner, epoch and head in that very row, in the database and the transaction in which it writes.
//!
//! So from the moment at which the newest claim has reached the row, nothing older is written, however late it arrives, and a claim that arrives after a newer
//! one is refused. Before that moment the owner before may still write; what it writes is below the head that the new owner is told when it takes the shard,
//! and the new owner answers nobody before. In one database this is not otherwise: there, too, claim and take are two transactions.
//!
//! A first database that was brought back from an older backup gives terms a second time. Beside the log, where later epochs are known, they are refused until
//! the register has counted past them: shards are not served for some beats, but never have two owners, since an equal epoch lets in the same owner only.

use std::{sync::Arc, time::Duration};

use futures_util::future::{join_all, try_join_all};
use tokio::time::timeout;

use super::{PostgresStore, read::newest_of_each};
use crate::{
    address::{Entity, Family, Layout, Position, Sequence, Shard, ShardNumber},
    port::{
        ChainedRecord, Connections, EntityHead, EntityRange, Head, KindSize, KnownHeads,
        LogAppender, LogStore, ModelStore, Snapshot, StoreError, StoreFuture, StoredRecord,
    },
    register::Register,
};

/// What the others tell does not wait longer for one that is away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Several databases as one.
pub(super) struct SpreadStore {
    layout: Layout,
    /// In their order; never empty.
    parts: Vec<Arc<PostgresStore>>,
}

impl SpreadStore {
    /// Over all databases of a house, in their order.
    pub(super) fn new(parts: Vec<Arc<PostgresStore>>) -> Self {
        Self {
            layout: parts[0].layout(),
            parts,
        }
    }

    fn first(&self) -> &PostgresStore {
        &self.parts[0]
    }

    /// In which of them a shard is.
    fn index_of(&self, number: ShardNumber) -> usize {
        usize::from(number) % self.parts.len()
    }

    fn part_of(&self, shard: Shard) -> &PostgresStore {
        &self.parts[self.index_of(shard.number)]
    }

    /// Where an entity's records and its snapshot are.
    fn home_of(&self, entity: &Entity) -> &PostgresStore {
        self.part_of(self.layout.shard_of(entity))
    }

    /// The newest records of some entities, each with its place in the question.
    async fn heads_in(
        &self,
        part: &PostgresStore,
        asked: Vec<(usize, Entity)>,
    ) -> Result<Vec<(usize, Option<EntityHead>)>, StoreError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let (places, entities): (Vec<usize>, Vec<Entity>) = asked.into_iter().unzip();
        let heads = part.entity_heads(&entities).await?;
        Ok(places.into_iter().zip(heads).collect())
    }
}

impl LogStore for SpreadStore {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn appenders(&self, family: Family) -> usize {
        self.first().appenders(family)
    }

    /// Appender `i` has the shards `i`, `i + appenders`, …, and the number of appenders is a multiple of that of the databases: all of them lie in one.
    fn open_appender(&self, family: Family, index: usize) -> StoreFuture<'_, Box<dyn LogAppender>> {
        self.parts[index % self.parts.len()].open_appender(family, index)
    }

    fn heads(&self, family: Family) -> StoreFuture<'_, Vec<Head>> {
        Box::pin(async move {
            let parts = self.parts.iter().map(|part| part.heads(family));
            let mut heads = try_join_all(parts).await?.concat();
            heads.sort_by_key(|head| head.shard);
            Ok(heads)
        })
    }

    fn known_heads(&self, family: Family) -> StoreFuture<'_, KnownHeads> {
        Box::pin(async move {
            let parts = self.parts.iter().map(|part| async move {
                let told = timeout(ANSWERS_WITHIN, part.heads(family)).await;
                told.unwrap_or_else(|_| Err(StoreError::Database("it does not answer".to_owned())))
            });
            let mut known = KnownHeads {
                heads: Vec::new(),
                silent: Vec::new(),
                trouble: None,
            };
            for (index, told) in join_all(parts).await.into_iter().enumerate() {
                match told {
                    Ok(heads) => known.heads.extend(heads),
                    Err(error) => {
                        let shards = 0..self.layout.shards;
                        let is_there = |number: &ShardNumber| self.index_of(*number) == index;
                        known.silent.extend(shards.filter(is_there));
                        known.trouble.get_or_insert(error);
                    }
                }
            }
            match known.trouble {
                Some(error) if known.heads.is_empty() => Err(error),
                trouble => {
                    known.heads.sort_by_key(|head| head.shard);
                    Ok(KnownHeads { trouble, ..known })
                }
            }
        })
    }

    fn read_entity<'a>(
        &'a self,
        entity: &'a Entity,
        range: EntityRange,
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        self.home_of(entity).read_entity(entity, range)
    }

    fn read_some<'a>(
        &'a self,
        entity: &'a Entity,
        sequences: &'a [Sequence],
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        self.home_of(entity).read_some(entity, sequences)
    }

    fn sizes<'a>(
        &'a self,
        entity: &'a Entity,
        range: (Sequence, Sequence),
    ) -> StoreFuture<'a, Vec<KindSize>> {
        self.home_of(entity).sizes(entity, range)
    }

    fn entity_heads<'a>(
        &'a self,
        entities: &'a [Entity],
    ) -> StoreFuture<'a, Vec<Option<EntityHead>>> {
        Box::pin(async move {
            let mut asked: Vec<Vec<(usize, Entity)>> = vec![Vec::new(); self.parts.len()];
            for (place, entity) in entities.iter().enumerate() {
                let shard = self.layout.shard_of(entity);
                asked[self.index_of(shard.number)].push((place, entity.clone()));
            }
            let parts = self.parts.iter().zip(asked);
            let answers = parts.map(|(part, asked)| self.heads_in(part, asked));
            let mut heads = vec![None; entities.len()];
            for (place, head) in try_join_all(answers).await?.into_iter().flatten() {
                heads[place] = head;
            }
            Ok(heads)
        })
    }

    /// A key says nothing about where its record is. Where records of several shards carry it, the one is given that a single database would give.
    fn find<'a>(&'a self, family: Family, key: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        Box::pin(async move {
            let parts = self.parts.iter().map(|part| part.find(family, key));
            let found = try_join_all(parts).await?;
            Ok(found
                .into_iter()
                .flatten()
                .max_by_key(|record| record.position))
        })
    }

    fn find_some(&self, family: Family, keys: Vec<String>) -> StoreFuture<'_, Vec<StoredRecord>> {
        Box::pin(async move {
            let parts = self.parts.iter();
            let found =
                try_join_all(parts.map(|part| part.find_some(family, keys.clone()))).await?;
            Ok(newest_of_each(found.into_iter().flatten()))
        })
    }

    fn read_shard(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<StoredRecord>> {
        self.part_of(shard).read_shard(shard, after, limit)
    }

    fn read_chain(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<ChainedRecord>> {
        self.part_of(shard).read_chain(shard, after, limit)
    }

    fn load_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, Option<Snapshot>> {
        self.home_of(entity).load_snapshot(entity)
    }

    fn save_snapshot<'a>(&'a self, entity: &'a Entity, snapshot: Snapshot) -> StoreFuture<'a, ()> {
        self.home_of(entity).save_snapshot(entity, snapshot)
    }

    fn drop_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, ()> {
        self.home_of(entity).drop_snapshot(entity)
    }

    fn scrub(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            try_join_all(self.parts.iter().map(|part| part.scrub())).await?;
            Ok(())
        })
    }

    fn compact(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            try_join_all(self.parts.iter().map(|part| part.compact())).await?;
            Ok(())
        })
    }

    fn warm(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            try_join_all(self.parts.iter().map(|part| part.warm())).await?;
            Ok(())
        })
    }

    fn drop_snapshots(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            try_join_all(self.parts.iter().map(|part| part.drop_snapshots())).await?;
            Ok(())
        })
    }

    fn models(&self) -> Arc<dyn ModelStore> {
        self.first().models()
    }

    fn register(&self) -> Option<Arc<dyn Register>> {
        self.first().register()
    }

    fn connections(&self) -> Option<Connections> {
        let counts = self.parts.iter().filter_map(|part| part.connections());
        counts.reduce(|sum, one| Connections {
            most: sum.most + one.most,
            busy: sum.busy + one.busy,
            idle: sum.idle + one.idle,
        })
    }

    fn size_bytes(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let sizes = self.parts.iter().map(|part| part.size_bytes());
            Ok(try_join_all(sizes).await?.into_iter().sum())
        })
    }
}

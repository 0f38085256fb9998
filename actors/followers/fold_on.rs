//! Folds all read models on from where each is, while no server runs: one read of the log for all of them.

use std::collections::BTreeMap;

use playhouse_schema::{
    address::{Family, Position, Shard},
    models::AnyModel,
    port::{CursorAdvance, Head, LogStore, Statement, StoreError, StoredRecord},
};

use super::task::park;

/// So many records one read brings.
const PAGE_RECORDS: usize = 1_000;

/// What has been folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Records that were passed, whether or not a model makes something of them …
    pub records: u64,
    /// … of so many.
    pub all: u64,
    /// How often a model could not take in a record.
    pub parked: u64,
}

/// Creates the models' tables where they are missing and folds each model from its positions to the ends of the log. Tells its progress page by page. When it is
/// cut off, the next call goes on where it was.
pub async fn fold_on(
    store: &dyn LogStore,
    models: &[Box<dyn AnyModel>],
    mut progress: impl FnMut(Folded) + Send,
) -> Result<Folded, StoreError> {
    let database = store.models();
    for model in models {
        database.create(model.creation()).await?;
    }
    let mut heads = Vec::new();
    for family in Family::ALL {
        heads.extend(store.heads(family).await?);
    }
    let mut done = Folded {
        all: heads.iter().map(|head| head.position).sum(),
        ..Folded::default()
    };
    progress(done);
    for head in heads {
        let mut folding = Folding::open(store, models, head).await?;
        done.records += folding.at.min(head.position);
        while folding.at < head.position {
            let before = folding.at;
            done.parked += folding.next_page().await?;
            done.records += folding.at - before;
            progress(done);
        }
    }
    Ok(done)
}

/// One shard, and the models that read it.
struct Folding<'a> {
    store: &'a dyn LogStore,
    head: Head,
    /// Each with its position.
    models: Vec<(&'a dyn AnyModel, Position)>,
    /// The position of the model that is furthest behind.
    at: Position,
}

impl<'a> Folding<'a> {
    async fn open(
        store: &'a dyn LogStore,
        all: &'a [Box<dyn AnyModel>],
        head: Head,
    ) -> Result<Self, StoreError> {
        let family = head.shard.family;
        let database = store.models();
        let mut models = Vec::new();
        for model in all {
            if !model.reads().contains(&family) {
                continue;
            }
            let cursors = database.cursors(model.table(), family).await?;
            let cursors: BTreeMap<_, _> = cursors.into_iter().collect();
            let position = cursors.get(&head.shard.number).copied().unwrap_or(0);
            models.push((&**model, position));
        }
        let behind = models.iter().map(|(_, position)| *position).min();
        Ok(Self {
            store,
            head,
            models,
            at: behind.unwrap_or(head.position),
        })
    }

    /// Folds a page into all models that have not read it, in one transaction. How often a record was parked.
    async fn next_page(&mut self) -> Result<u64, StoreError> {
        let shard = self.head.shard;
        let page = self.store.read_shard(shard, self.at, PAGE_RECORDS).await?;
        let Some(last) = page.last() else {
            return Err(StoreError::Damaged(format!(
                "{shard}: nothing after position {} although the head is {}",
                self.at, self.head.position
            )));
        };
        let to = last.position;
        let mut statements = Vec::new();
        let mut cursors = Vec::new();
        let mut parked = 0;
        for (model, from) in &self.models {
            if *from >= to {
                continue;
            }
            for record in page.iter().filter(|record| record.position > *from) {
                let (folded, is_parked) = changes(*model, record);
                statements.extend(folded);
                parked += u64::from(is_parked);
            }
            cursors.push(cursor(*model, shard, to));
        }
        let database = self.store.models();
        if database.apply(statements, cursors).await.is_err() {
            parked = self.one_by_one(&page).await?;
        }
        for (_, position) in &mut self.models {
            *position = (*position).max(to);
        }
        self.at = to;
        Ok(parked)
    }

    /// A page that fails as a whole: each record alone, and what still fails is parked.
    async fn one_by_one(&self, page: &[StoredRecord]) -> Result<u64, StoreError> {
        let database = self.store.models();
        let mut parked = 0;
        for (model, from) in &self.models {
            for record in page.iter().filter(|record| record.position > *from) {
                let (statements, is_parked) = changes(*model, record);
                parked += u64::from(is_parked);
                let at = cursor(*model, record.shard, record.position);
                let applied = database.apply(statements, vec![at.clone()]).await;
                if let Err(error) = applied {
                    // A database that fails altogether fails here too.
                    let blamed = vec![park(model.table(), record, &error).park()];
                    database.apply(blamed, vec![at]).await?;
                    parked += 1;
                }
            }
        }
        Ok(parked)
    }
}

/// What a model makes of a record; whether it is parked instead.
fn changes(model: &dyn AnyModel, record: &StoredRecord) -> (Vec<Statement>, bool) {
    match model.changes(record) {
        Ok(statements) => (statements, false),
        Err(error) => (vec![park(model.table(), record, &error).park()], true),
    }
}

fn cursor(model: &dyn AnyModel, shard: Shard, position: Position) -> CursorAdvance {
    CursorAdvance {
        name: model.table(),
        shard,
        from: None,
        position,
    }
}

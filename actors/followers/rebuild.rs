//! Drops what is derived from the log and folds it again (`playhouse log rebuild`). No server may run meanwhile.

use playhouse_schema::{
    address::{Position, Shard},
    models::{AnyModel, parked::Parked},
    port::{CursorAdvance, LogStore, StoreError},
};

use super::task::{PROGRAM, park};

/// So many records one read brings.
const PAGE_RECORDS: usize = 1_000;

/// How far a rebuild has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The model.
    pub model: &'static str,
    /// The shard.
    pub shard: Shard,
    /// Everything up to this position is folded …
    pub position: Position,
    /// … of so many.
    pub head: Position,
    /// Records that the model could not take in, so far.
    pub parked: u64,
}

/// Drops all snapshots and read models and folds the models again from the whole log. Tells its progress page by page. Safe to repeat when cut off.
pub async fn rebuild(
    store: &dyn LogStore,
    models: &[Box<dyn AnyModel>],
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(), StoreError> {
    store.drop_snapshots().await?;
    for model in models {
        refold(store, &**model, &mut progress).await?;
    }
    Ok(())
}

/// Drops one model and folds it again. [`StoreError::Overtaken`] when another node has taken it up meanwhile: then that one goes on.
pub(super) async fn refold(
    store: &dyn LogStore,
    model: &dyn AnyModel,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), StoreError> {
    let database = store.models();
    database.drop_model(model.table(), model.further()).await?;
    database.create(model.creation()).await?;
    let mut parked = 0;
    for family in model.reads() {
        for head in store.heads(*family).await? {
            let mut done = Progress {
                model: model.name(),
                shard: head.shard,
                position: 0,
                head: head.position,
                parked,
            };
            while done.position < head.position {
                refold_page(store, model, &mut done).await?;
                progress(done);
            }
            parked = done.parked;
        }
    }
    Ok(())
}

async fn refold_page(
    store: &dyn LogStore,
    model: &dyn AnyModel,
    done: &mut Progress,
) -> Result<(), StoreError> {
    let page = store
        .read_shard(done.shard, done.position, PAGE_RECORDS)
        .await?;
    let Some(last) = page.last() else {
        return Err(StoreError::Damaged(format!(
            "{}: nothing after position {} although the head is {}",
            done.shard, done.position, done.head
        )));
    };
    let mut statements = Vec::new();
    for record in &page {
        match model.changes(record) {
            Ok(folded) => statements.extend(folded),
            Err(error) => {
                done.parked += 1;
                statements.push(park(model.table(), record, &error).park());
            }
        }
    }
    let cursor = CursorAdvance {
        name: model.table(),
        shard: done.shard,
        // Another node may fold it by now: then this one must not.
        from: Some(done.position),
        position: last.position,
    };
    done.position = last.position;
    match store.models().apply(statements, vec![cursor.clone()]).await {
        Ok(()) => return Ok(()),
        Err(StoreError::Overtaken(by)) => return Err(StoreError::Overtaken(by)),
        Err(_) => {}
    }
    for record in &page {
        let folded = model.changes(record);
        let (statements, is_new) = match folded {
            Ok(statements) => (statements, true),
            Err(error) => (
                vec![Parked::new(model.table(), record, PROGRAM, &error).park()],
                false,
            ),
        };
        if let Err(error) = store.models().apply(statements, Vec::new()).await {
            done.parked += u64::from(is_new);
            let parked = park(model.table(), record, &error);
            store
                .models()
                .apply(vec![parked.park()], Vec::new())
                .await?;
        }
    }
    // A database that fails altogether fails here too.
    store.models().apply(Vec::new(), vec![cursor]).await
}

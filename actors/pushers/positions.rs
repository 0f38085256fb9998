//! Where the follower stands in the database: in one place for all users, or, where there are several nodes, in one for each shard of users.
//!
//! A house that becomes one of several goes on where it was alone, and the other way round: of two positions the later one counts, since neither moves while
//! the other does.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    models::parked::forget_cursors,
    port::{CursorAdvance, LogStore, StoreError},
};

use super::board::{Positions, PushBoard};
use crate::followers::task::numbered;

/// Its name among the cursors.
pub const NAME: &str = "pushes";

/// The name of one shard's users among the cursors.
pub(super) fn part(number: ShardNumber) -> &'static str {
    numbered(NAME, number)
}

/// An empty board at the positions from which the follower will go on; the first time these are the ends of the log: nothing before is pushed. Where there are
/// other nodes nobody is on it yet.
pub async fn open_board(
    store: &dyn LogStore,
    is_alone: bool,
) -> Result<Arc<PushBoard>, StoreError> {
    let positions = of_all(store).await?;
    Ok(PushBoard::new(store.layout(), &positions, is_alone))
}

/// Nothing is pushed here: when that changes, what happened before is left alone.
pub async fn forget(store: &dyn LogStore) -> Result<(), StoreError> {
    let models = store.models();
    let mut names = vec![NAME];
    if store.register().is_some() {
        names.extend((0..store.layout().shards).map(part));
    }
    for name in names {
        if !models.cursors(name, Family::Rooms).await?.is_empty() {
            models.apply(vec![forget_cursors(name)], Vec::new()).await?;
        }
    }
    Ok(())
}

/// The users of a shard leave this node; what reads for them elsewhere goes on where they are.
pub async fn leave(store: &dyn LogStore, board: &PushBoard, number: ShardNumber) {
    let Some(settled) = board.leave(number) else {
        return;
    };
    let cursors = cursors(part(number), &settled).collect();
    if let Err(error) = store.models().apply(Vec::new(), cursors).await {
        // It was stored a moment ago, too.
        tracing::warn!(follower = NAME, number, %error, "cannot store position");
    }
}

/// Where all users are.
async fn of_all(store: &dyn LogStore) -> Result<Positions, StoreError> {
    let models = store.models();
    let stored = models.cursors(NAME, Family::Rooms).await?;
    if stored.is_empty() {
        return begin(store).await;
    }
    let mut stored: Positions = stored.into_iter().collect();
    if store.register().is_some() {
        for (number, position) in least_of_parts(store).await? {
            let known = stored.entry(number).or_default();
            *known = position.max(*known);
        }
    }
    Ok(stored)
}

/// Up to where the users of all shards have everything, by what was stored for each.
async fn least_of_parts(store: &dyn LogStore) -> Result<Positions, StoreError> {
    let mut least: Option<Positions> = None;
    for number in 0..store.layout().shards {
        let stored = store.models().cursors(part(number), Family::Rooms).await?;
        let stored: Positions = stored.into_iter().collect();
        least = Some(match least {
            None => stored,
            Some(mut least) => {
                least.retain(|number, _| stored.contains_key(number));
                for (number, position) in &mut least {
                    *position = stored.get(number).copied().unwrap_or(0).min(*position);
                }
                least
            }
        });
    }
    Ok(least.unwrap_or_default())
}

async fn begin(store: &dyn LogStore) -> Result<Positions, StoreError> {
    let heads = store.heads(Family::Rooms).await?;
    let mut first: Positions = (0..store.layout().shards)
        .map(|number| (number, 0))
        .collect();
    first.extend(heads.iter().map(|head| (head.shard.number, head.position)));
    let steps = first.iter().map(|(number, position)| CursorAdvance {
        from: Some(0),
        ..cursor(NAME, *number, *position)
    });
    match store.models().apply(Vec::new(), steps.collect()).await {
        Ok(()) => Ok(first),
        // Another node was a little earlier.
        Err(StoreError::Overtaken(_)) => {
            let stored = store.models().cursors(NAME, Family::Rooms).await?;
            Ok(stored.into_iter().collect())
        }
        Err(error) => Err(error),
    }
}

/// Where the users of a shard are.
pub(super) async fn of_part(
    store: &dyn LogStore,
    number: ShardNumber,
) -> Result<Positions, StoreError> {
    let models = store.models();
    let own = models.cursors(part(number), Family::Rooms).await?;
    let own: BTreeMap<_, _> = own.into_iter().collect();
    let all = models.cursors(NAME, Family::Rooms).await?;
    let all: BTreeMap<_, _> = all.into_iter().collect();
    let at = |of: &Positions, number: ShardNumber| of.get(&number).copied().unwrap_or(0);
    let numbers = 0..store.layout().shards;
    Ok(numbers
        .map(|number| (number, at(&own, number).max(at(&all, number))))
        .collect())
}

/// What stores positions under a name.
pub(super) fn cursors(
    name: &'static str,
    at: &Positions,
) -> impl Iterator<Item = CursorAdvance> + use<> {
    let at = at.clone().into_iter();
    at.map(move |(number, position)| cursor(name, number, position))
}

fn cursor(name: &'static str, number: ShardNumber, position: Position) -> CursorAdvance {
    let family = Family::Rooms;
    CursorAdvance {
        name,
        shard: Shard { family, number },
        from: None,
        position,
    }
}

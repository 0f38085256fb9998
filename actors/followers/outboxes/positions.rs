//! Where the follower stands in the database: in one place for all destinations, or, where there are several nodes, in one for each shard of them.
//!
//! A house that becomes one of several goes on where it was alone, and the other way round: of two positions the later one counts, since neither moves while
//! the other does.

use std::time::Duration;

use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    port::{CursorAdvance, LogStore, StoreError},
    record::server::Lag,
};

use super::{NAME, part};
use crate::server::board::{Positions, combined, position_in};

/// Where all destinations are. The first time these are the ends of the log.
pub(super) async fn of_all(store: &dyn LogStore, family: Family) -> Result<Positions, StoreError> {
    let stored = store.models().cursors(NAME, family).await?;
    if stored.is_empty() {
        return begin(store, family).await;
    }
    let mut stored: Positions = stored.into_iter().collect();
    if store.register().is_some() {
        for (number, position) in least_of_parts(store, family).await? {
            let known = stored.entry(number).or_default();
            *known = position.max(*known);
        }
    }
    Ok(stored)
}

/// Up to where the destinations of all shards have everything, by what was stored for each.
async fn least_of_parts(store: &dyn LogStore, family: Family) -> Result<Positions, StoreError> {
    let mut least: Option<Positions> = None;
    for number in 0..store.layout().shards {
        let stored = store.models().cursors(part(number), family).await?;
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

async fn begin(store: &dyn LogStore, family: Family) -> Result<Positions, StoreError> {
    let heads = store.heads(family).await?;
    let mut first: Positions = (0..store.layout().shards)
        .map(|number| (number, 0))
        .collect();
    first.extend(heads.iter().map(|head| (head.shard.number, head.position)));
    let steps = first.iter().map(|(number, position)| CursorAdvance {
        from: Some(0),
        ..cursor((NAME, family), *number, *position)
    });
    match store.models().apply(Vec::new(), steps.collect()).await {
        Ok(()) => Ok(first),
        // Another node was a little earlier.
        Err(StoreError::Overtaken(_)) => {
            let stored = store.models().cursors(NAME, family).await?;
            Ok(stored.into_iter().collect())
        }
        Err(error) => Err(error),
    }
}

/// Where the destinations of a shard are.
pub(super) struct Stored {
    /// Under the shard's own name.
    pub(super) own: Lag,
    /// By that and by what was stored for all.
    pub(super) at: Lag,
}

/// Where the destinations of a shard are, by its name.
pub(super) async fn of_part(store: &dyn LogStore, name: &str) -> Result<Stored, StoreError> {
    let own = stored(store, name).await?;
    let all = stored(store, NAME).await?;
    let at = combined(&own, &all, Position::max);
    Ok(Stored { own, at })
}

/// What is stored under a name, of all shards.
pub(super) async fn stored(store: &dyn LogStore, name: &str) -> Result<Lag, StoreError> {
    Ok(Lag {
        rooms: of_family(store, name, Family::Rooms).await?,
        users: of_family(store, name, Family::Users).await?,
    })
}

async fn of_family(
    store: &dyn LogStore,
    name: &str,
    family: Family,
) -> Result<Vec<(ShardNumber, Position)>, StoreError> {
    let stored: Positions = store
        .models()
        .cursors(name, family)
        .await?
        .into_iter()
        .collect();
    let numbers = 0..store.layout().shards;
    let all = numbers.map(|number| (number, stored.get(&number).copied().unwrap_or(0)));
    Ok(all.collect())
}

/// What moves positions under a name forward from where they are stored. Nothing moves back: what somebody has stored is settled for good.
pub(super) fn steps(name: &'static str, from: &Lag, to: &Lag) -> Vec<CursorAdvance> {
    let forward = cursors(name, to).filter_map(|cursor| {
        let stored = position_in(from, cursor.shard);
        (stored < cursor.position).then_some(CursorAdvance {
            from: Some(stored),
            ..cursor
        })
    });
    forward.collect()
}

/// Moves the positions under a name forward, wherever they are stored.
pub(super) async fn advance(
    store: &dyn LogStore,
    name: &'static str,
    to: &Lag,
) -> Result<(), StoreError> {
    loop {
        let steps = steps(name, &stored(store, name).await?, to);
        if steps.is_empty() {
            return Ok(());
        }
        match store.models().apply(Vec::new(), steps).await {
            // Somebody has moved them since they were read: they only move forward, so this ends.
            Err(StoreError::Overtaken(_)) => {}
            applied => return applied,
        }
    }
}

/// The same, for who cannot wait: the shard of the positions is served nowhere meanwhile.
pub(super) async fn advance_within(
    store: &dyn LogStore,
    (name, to): (&'static str, &Lag),
    within: Duration,
) -> Result<(), StoreError> {
    let late = |_| StoreError::Database("the positions are not stored in time".to_owned());
    let advanced = tokio::time::timeout(within, advance(store, name, to)).await;
    advanced.map_err(late)?
}

/// What stores positions under a name.
pub(super) fn cursors(name: &'static str, at: &Lag) -> impl Iterator<Item = CursorAdvance> {
    let rooms = at.rooms.clone().into_iter();
    let rooms =
        rooms.map(move |(number, position)| cursor((name, Family::Rooms), number, position));
    let users = at.users.clone().into_iter();
    let users =
        users.map(move |(number, position)| cursor((name, Family::Users), number, position));
    rooms.chain(users)
}

fn cursor(
    (name, family): (&'static str, Family),
    number: ShardNumber,
    position: Position,
) -> CursorAdvance {
    CursorAdvance {
        name,
        shard: Shard { family, number },
        from: None,
        position,
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use playhouse_schema::port::{ModelStore, Row, Statement, StoreFuture};

    use super::*;
    use crate::kernel::memory::MemoryStore;

    /// Read models that never answer.
    struct Mute;

    impl ModelStore for Mute {
        fn create<'a>(&'a self, _statements: &'a [&'static str]) -> StoreFuture<'a, ()> {
            Box::pin(pending())
        }

        fn apply<'a>(
            &'a self,
            _statements: Vec<Statement>,
            _cursors: Vec<CursorAdvance>,
        ) -> StoreFuture<'a, ()> {
            Box::pin(pending())
        }

        fn query<'a>(&'a self, _statement: Statement) -> StoreFuture<'a, Vec<Row>> {
            Box::pin(pending())
        }

        fn cursors<'a>(
            &'a self,
            _name: &'a str,
            _family: Family,
        ) -> StoreFuture<'a, Vec<(ShardNumber, Position)>> {
            Box::pin(pending())
        }

        fn drop_model<'a>(
            &'a self,
            _table: &'static str,
            _further: &'static [&'static str],
        ) -> StoreFuture<'a, ()> {
            Box::pin(pending())
        }
    }

    #[tokio::test]
    async fn a_database_that_does_not_answer_is_not_waited_for() {
        let store = MemoryStore::new();
        store.share(Arc::new(Mute));
        let to = Lag::default();
        let advanced = advance_within(&*store, ("n", &to), Duration::from_millis(5)).await;
        assert!(
            matches!(advanced, Err(StoreError::Database(_))),
            "{advanced:?}"
        );
    }

    #[test]
    fn nothing_moves_back() {
        let lag = |rooms: [Position; 3], user| Lag {
            rooms: (0..).zip(rooms).collect(),
            users: vec![(0, user)],
        };
        let forward = steps("n", &lag([0, 5, 7], 3), &lag([2, 4, 9], 3));
        let forward: Vec<_> = forward
            .iter()
            .map(|step| {
                (
                    step.shard.family,
                    step.shard.number,
                    step.from,
                    step.position,
                )
            })
            .collect();
        let rooms = Family::Rooms;
        assert_eq!(forward, [(rooms, 0, Some(0), 2), (rooms, 2, Some(7), 9)]);
        assert!(steps("n", &lag([1; 3], 1), &Lag::default()).is_empty());
        assert_eq!(steps("n", &Lag::default(), &lag([0; 3], 4)).len(), 1);
    }
}

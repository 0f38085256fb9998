//! Several databases of one house: whether the addresses lead to all of them, in their order, and how they are made.
//!
//! Each says how many they are, which one it is, and a number that only the databases of one house have in common. The first is made before the others and says
//! afterwards that all are there: from then on an empty database in the place of another is a mistake and not a beginning. What lay in the one that was meant
//! would otherwise be missing without a word.

use std::time::Duration;

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::{
    connection::Connection,
    dsn::Address,
    ground::{self, Facts, set_meta},
};
use crate::{ground::meta, port::StoreError};

/// Another node may just be making the databases, and have made some of them when they were looked at: it is looked again after so long.
const LOOK_AGAIN_MS: [u64; 3] = [100, 200, 400];

/// Which database of a house one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// So many databases hold the house.
    pub(super) databases: usize,
    /// Its number among them, from 0. Shard `s` of each family lies in number `s mod databases`.
    pub(super) index: usize,
    /// What all databases of the house have in common; 0 in one that was made before there could be several.
    pub(super) house: i64,
}

impl Seat {
    /// Of the first database of a new house.
    pub(super) fn first_of(databases: usize) -> Self {
        let random = Uuid::now_v7().as_u64_pair().1;
        Self {
            databases,
            index: 0,
            house: (random >> 1) as i64,
        }
    }
}

/// What the databases say of themselves, if they belong together; `None` for one that is new. Nothing is made.
pub(super) async fn found(addresses: &[Address]) -> Result<Vec<Option<Facts>>, StoreError> {
    for wait_ms in LOOK_AGAIN_MS {
        let found = look(addresses).await?;
        if check(&found).is_ok() {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    let found = look(addresses).await?;
    check(&found)?;
    Ok(found)
}

async fn look(addresses: &[Address]) -> Result<Vec<Option<Facts>>, StoreError> {
    let looks = addresses
        .iter()
        .enumerate()
        .map(|(index, address)| async move {
            let look = async {
                let connection = Connection::open_patiently(address).await?;
                ground::facts(&connection.client).await
            };
            let place = (index, addresses.len());
            look.await.map_err(|error| name(place, error))
        });
    try_join_all(looks).await
}

/// Says which of several databases an error comes from.
pub(super) fn name((index, count): (usize, usize), error: StoreError) -> StoreError {
    let number = index + 1;
    match error {
        StoreError::Database(why) if count > 1 => {
            StoreError::Database(format!("database {number} of {count}: {why}"))
        }
        StoreError::Incompatible(why) if count > 1 => {
            StoreError::Incompatible(format!("database {number} of {count}: {why}"))
        }
        StoreError::Locked(why) if count > 1 => {
            StoreError::Locked(format!("database {number} of {count}: {why}"))
        }
        error => error,
    }
}

/// Makes what is missing, brings all up to date and tells what they are. `wanted` is what a new house becomes.
pub(super) async fn make(
    addresses: &[Address],
    found: &[Option<Facts>],
    wanted: Facts,
) -> Result<Vec<Facts>, StoreError> {
    let count = addresses.len();
    let first = found.first().copied().flatten();
    let wanted = first.unwrap_or(Facts {
        is_whole: count == 1,
        ..wanted
    });
    if count > usize::from(wanted.layout.shards) {
        return Err(StoreError::Incompatible(format!(
            "each family has {} shards, which cannot lie in {count} databases",
            wanted.layout.shards
        )));
    }
    let mut all: Vec<Facts> = Vec::with_capacity(count);
    for (index, address) in addresses.iter().enumerate() {
        let wanted = match all.first() {
            None => wanted,
            Some(first) => Facts {
                seat: Seat {
                    index,
                    ..first.seat
                },
                is_whole: true,
                ..*first
            },
        };
        let made = ground::prepare(address, wanted).await;
        let made = made.map_err(|error| name((index, count), error))?;
        // Before the next one is made after its example.
        check_count(&made.seat, count)?;
        all.push(made);
    }
    check(&all.iter().copied().map(Some).collect::<Vec<_>>())?;
    if let (Some(first), Some(address)) = (all.first(), addresses.first())
        && !first.is_whole
    {
        let connection = Connection::open_patiently(address).await?;
        set_meta(&connection.client, (meta::WHOLE, 1)).await?;
    }
    Ok(all)
}

/// Whether these are the databases of one house, all of them and in their order; those that are new are to become so.
fn check(found: &[Option<Facts>]) -> Result<(), StoreError> {
    let refuse = |why: String| Err(StoreError::Incompatible(why));
    let known: Vec<(usize, Facts)> = found
        .iter()
        .enumerate()
        .filter_map(|(place, facts)| facts.map(|facts| (place, facts)))
        .collect();
    let Some((at, one)) = known.first().copied() else {
        return Ok(());
    };
    for (place, facts) in &known {
        check_count(&facts.seat, found.len())?;
        if (facts.seat.house, facts.layout) != (one.seat.house, one.layout) {
            return refuse(format!(
                "address {} leads to a database of another house than address {} does",
                place + 1,
                at + 1
            ));
        }
        let mut others = known.iter();
        let twin = others
            .find(|(other, twin)| other < place && twin.seat.index == facts.seat.index)
            .map(|(other, _)| other);
        if let Some(twin) = twin {
            return refuse(format!(
                "addresses {} and {} lead to the same database, or to one and a copy of it",
                twin + 1,
                place + 1
            ));
        }
    }
    if known
        .iter()
        .any(|(place, facts)| *place != facts.seat.index)
    {
        let order: Vec<String> = known
            .iter()
            .map(|(place, facts)| {
                let (address, database) = (place + 1, facts.seat.index + 1);
                format!("address {address} leads to database {database}")
            })
            .collect();
        return refuse(format!(
            "the addresses are not in the order of their databases: {}",
            order.join(", ")
        ));
    }
    let Some(missing) = found.iter().position(Option::is_none) else {
        return Ok(());
    };
    if found
        .first()
        .copied()
        .flatten()
        .is_none_or(|first| first.is_whole)
    {
        return refuse(format!(
            "address {} leads to an empty database, although there is one of the house already at address {}: is it the right one?",
            missing + 1,
            at + 1
        ));
    }
    Ok(())
}

fn check_count(seat: &Seat, named: usize) -> Result<(), StoreError> {
    let databases = seat.databases;
    if databases == named {
        return Ok(());
    }
    let why = match databases {
        1 => "the house lies in one database, not in several: `playhouse migrate` brings it to several new ones".to_owned(),
        _ => format!(
            "this is database {} of the {databases} that hold the house, and the addresses are {named}: name all of them in their order \
             (`playhouse migrate` brings the house to another number of databases)",
            seat.index + 1
        ),
    };
    Err(StoreError::Incompatible(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Layout;

    fn facts(databases: usize, index: usize, house: i64) -> Option<Facts> {
        Some(Facts {
            layout: Layout::default(),
            seat: Seat {
                databases,
                index,
                house,
            },
            is_whole: true,
            is_unfinished: false,
        })
    }

    fn begun(databases: usize) -> Option<Facts> {
        facts(databases, 0, 7).map(|facts| Facts {
            is_whole: false,
            ..facts
        })
    }

    #[test]
    fn what_belongs_together_in_its_order_is_taken() {
        for fit in [
            vec![None],
            vec![None, None],
            vec![facts(1, 0, 0)],
            vec![facts(2, 0, 7), facts(2, 1, 7)],
            vec![begun(3), None, None],
            vec![begun(3), facts(3, 1, 7), None],
        ] {
            check(&fit).unwrap();
        }
    }

    #[test]
    fn what_does_not_is_refused_with_words() {
        for (unfit, word) in [
            (vec![facts(2, 0, 7)], "database 1 of the 2"),
            (vec![facts(1, 0, 0), None], "playhouse migrate"),
            (vec![facts(3, 0, 7), facts(3, 1, 7)], "addresses are 2"),
            (
                vec![facts(2, 1, 7), facts(2, 0, 7)],
                "address 1 leads to database 2, address 2 leads to database 1",
            ),
            (vec![facts(2, 0, 7), facts(2, 1, 8)], "another house"),
            (vec![facts(2, 0, 7), facts(2, 0, 7)], "the same database"),
            (vec![facts(2, 0, 7), None], "empty database"),
            (vec![None, facts(2, 1, 7)], "address 1 leads to an empty"),
            (vec![None, facts(2, 0, 7)], "not in the order"),
        ] {
            let why = check(&unfit).unwrap_err().to_string();
            assert!(why.contains(word), "{word}: {why}");
        }
    }

    #[test]
    fn houses_are_told_apart() {
        let [one, other] = [2, 2].map(Seat::first_of);
        assert!(one.house > 0 && one.house != other.house);
    }
}

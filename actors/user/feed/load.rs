//! Finding out which rooms concern a user that has just woken: steps 2 to 5 of the protocol in [`super::surroundings`].

use std::{sync::Arc, time::Duration};

use playhouse_schema::{address::Family, port::StoreError};
use ruma::events::room::member::MembershipState;

use super::{
    home::Home,
    rooms::Membership,
    surroundings::{Current, Seat},
};
use crate::{
    kernel::Unavailable,
    user::{
        UserError,
        sync::token::{SyncToken, Vector},
    },
};

/// The board announces what was read within so long, or the load has failed.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(10);

/// How often the board is looked at meanwhile. It lags by microseconds, so this is rarely waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What was found.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) rooms: Vec<Membership>,
    pub(crate) current: Current,
    /// Device list changes up to here are to be read when a sync asks.
    pub(crate) devices: Vector,
    pub(crate) seat: Arc<Seat>,
}

/// Reads everything a feed begins with.
pub(crate) async fn load(
    home: Arc<Home>,
    seat: Arc<Seat>,
    entered: Vector,
) -> Result<Loaded, StoreError> {
    let mut rooms = home.sources.memberships(&home.user_id, entered).await?;
    let joined: Vec<_> = rooms
        .iter()
        .filter(|room| room.membership == MembershipState::Join)
        .map(|room| room.room_id.clone())
        .collect();
    let current = home.board.follow(&seat, &joined);
    let newest = home.sources.newest(joined).await?;
    let followed = rooms
        .iter_mut()
        .filter(|room| room.membership == MembershipState::Join);
    for (room, newest) in followed.zip(newest) {
        room.newest = newest.max(room.newest);
    }
    announced(&home, &rooms).await?;
    Ok(Loaded {
        rooms,
        current,
        devices: home.board.device_positions(),
        seat,
    })
}

/// Waits until the board has announced what was read.
async fn announced(home: &Home, rooms: &[Membership]) -> Result<(), StoreError> {
    let mut needed = Vector::new();
    for room in rooms {
        let position = needed.entry(room.shard).or_default();
        *position = room.newest.max(*position);
    }
    reached(home, &needed, ANNOUNCED_WITHIN)
        .await
        .then_some(())
        .ok_or_else(|| StoreError::Database("the tail of the log does not come on".into()))
}

/// Waits, bounded, until the board has announced rooms up to these positions.
pub(crate) async fn reached(home: &Home, needed: &Vector, within: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let positions = home.board.room_positions();
        let behind = |(shard, needed): (&u16, &u64)| {
            positions
                .get(shard)
                .is_none_or(|position| position < needed)
        };
        if !needed.iter().any(behind) {
            return true;
        }
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a token tells of more than the board has announced.
pub(crate) fn is_behind(home: &Home, since: &SyncToken) -> bool {
    is_ahead(&since.rooms, &home.board.room_positions())
        || is_ahead(&since.devices, &home.board.device_positions())
}

fn is_ahead(told: &Vector, known: &Vector) -> bool {
    let position = |shard| known.get(shard).copied().unwrap_or(0);
    told.iter().any(|(shard, told)| *told > position(shard))
}

/// Waits, bounded, until the board has announced what a token tells of: another node may have heard of it first. What of it is not in the log (a backup was
/// restored) is taken back. Never more than that: what the token has told would be told again.
pub(crate) async fn come_up_to(
    home: &Home,
    since: &mut SyncToken,
    within: Duration,
) -> Result<(), UserError> {
    take_back(&mut since.rooms, &heads(home, Family::Rooms).await?);
    take_back(&mut since.devices, &heads(home, Family::Users).await?);
    let deadline = tokio::time::Instant::now() + within;
    while is_behind(home, since) {
        if tokio::time::Instant::now() >= deadline {
            tracing::warn!(user_id = %home.user_id, "a token tells of what this node does not hear of");
            return Err(Unavailable::Stopped.into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn heads(home: &Home, family: Family) -> Result<Vector, UserError> {
    let heads = home.sources.heads(family).await;
    heads.map_err(UserError::from)
}

fn take_back(told: &mut Vector, heads: &Vector) {
    for (shard, told) in told {
        *told = heads.get(shard).copied().unwrap_or(0).min(*told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_in_the_log_is_taken_back() {
        let (announced, heads) = (Vector::from([(1, 5)]), Vector::from([(1, 9), (2, 3)]));
        let mut told = Vector::from([(1, 8), (2, 4), (3, 1)]);
        assert!(is_ahead(&told, &announced));
        take_back(&mut told, &heads);
        assert_eq!(told, Vector::from([(1, 8), (2, 3), (3, 0)]));
        assert!(is_ahead(&told, &announced) && !is_ahead(&told, &heads));
    }
}

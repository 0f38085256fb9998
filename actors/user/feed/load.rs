//! Finding out which rooms concern a user that has just woken: steps 2 to 5 of the protocol in [`super::surroundings`].

use std::{sync::Arc, time::Duration};

use playhouse_schema::port::StoreError;
use ruma::events::room::member::MembershipState;

use super::{
    home::Home,
    rooms::Membership,
    surroundings::{Current, Seat},
};
use crate::user::sync::token::Vector;

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

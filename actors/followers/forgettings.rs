//! Rooms that somebody of this server has forgotten: once all have, a room may go.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};
use ruma::{OwnedRoomId, RoomId};

use super::{
    members::insist,
    task::{Handled, Handler, Running, Source, Stop, Stopped, follow_from_now, park},
};
use crate::user::UserError;

/// The follower's name among the cursors.
pub const NAME: &str = "forgettings";

/// The kind of the records that tell of it.
const ROOM_FORGOTTEN: u16 = 516;

/// What hears of it.
pub trait Undertaker: Send + Sync + 'static {
    /// Somebody has forgotten a room.
    fn forgotten<'a>(&'a self, room_id: &'a RoomId) -> BoxFuture<'a, Result<(), UserError>>;
}

/// Starts it, for what happens from now on.
pub async fn start(source: Source, undertaker: Arc<dyn Undertaker>) -> Result<Running, StoreError> {
    follow_from_now(source, NAME, Family::Users, Forgettings(undertaker)).await
}

struct Forgettings(Arc<dyn Undertaker>);

impl Handler for Forgettings {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        Box::pin(async move {
            let mut handled = Handled::default();
            let mut seen = BTreeSet::new();
            for record in records {
                let Some(room_id) = read(record).filter(|room_id| seen.insert(room_id.clone()))
                else {
                    continue;
                };
                handled.acted = true;
                let undertaker = &*self.0;
                if let Err(why) = insist(stop, || undertaker.forgotten(&room_id)).await? {
                    handled.parked.push(park(NAME, record, &why));
                }
            }
            Ok(handled)
        })
    }
}

/// The room that a record tells to be forgotten.
fn read(record: &StoredRecord) -> Option<OwnedRoomId> {
    if record.kind != ROOM_FORGOTTEN {
        return None;
    }
    match UserRecord::decode(record).ok()?? {
        UserRecord::RoomForgotten(forgotten) => RoomId::parse(forgotten.room_id).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use playhouse_schema::{
        address::{Entity, Shard},
        record::user::RoomForgotten,
    };

    use super::*;

    #[test]
    fn the_room_is_read() {
        let record = UserRecord::RoomForgotten(RoomForgotten {
            room_id: "!r:b".to_owned(),
            until: 7,
        });
        let stored = StoredRecord {
            shard: Shard {
                family: Family::Users,
                number: 3,
            },
            position: 7,
            entity: Entity::user("@a:b"),
            sequence: 5,
            kind: record.kind(),
            key: None,
            epoch: 1,
            at_ms: 9,
            payload: record.encode(),
        };
        assert_eq!(read(&stored).as_deref().map(RoomId::as_str), Some("!r:b"));
        let other = StoredRecord {
            kind: 517,
            ..stored
        };
        assert_eq!(read(&other), None);
    }
}

//! Rooms that all users of this server have left and forgotten are deleted after a while, where the operator wants that.

use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use playhouse_schema::record::purge::Deletion;
use ruma::RoomId;

use super::{
    House, HouseError,
    delays::HouseOutlet,
    purges::{ID_CHARACTERS, PurgeBells, purges},
};
use crate::{
    followers::forgettings::Undertaker, kernel::Unavailable, purges::PurgeCommand, user::UserError,
};

/// What has forgotten rooms deleted, without the house: followers end before it does.
pub(super) struct ForgottenRooms {
    pub(super) outlet: Arc<HouseOutlet>,
    pub(super) bells: Arc<PurgeBells>,
    pub(super) after_ms: u64,
}

impl Undertaker for ForgottenRooms {
    fn forgotten<'a>(&'a self, room_id: &'a RoomId) -> BoxFuture<'a, Result<(), UserError>> {
        let house = self.outlet.0.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let house = house.ok_or(Unavailable::Stopped)?;
            let scheduled = house.delete_if_forgotten(room_id, self.after_ms).await;
            // Whatever stands in the way may be gone when it is tried again.
            scheduled.map_err(|error| UserError::Store(error.to_string()))?;
            self.bells.wanted.notify_one();
            Ok(())
        })
    }
}

impl House {
    /// Has a room deleted after a while if all have forgotten it. When the time has come it is looked again.
    async fn delete_if_forgotten(&self, room_id: &RoomId, after_ms: u64) -> Result<(), HouseError> {
        if !self.is_forgotten(room_id).await? {
            return Ok(());
        }
        let now_ms = self.env.now_ms();
        let deletion = Deletion {
            id: self.env.random_string(ID_CHARACTERS),
            room_id: room_id.to_string(),
            by: None,
            at_ms: now_ms,
            due_ms: now_ms.saturating_add(after_ms),
            purge: true,
            force_purge: false,
            new_room: None,
        };
        let command = PurgeCommand::Delete(Box::new(deletion));
        Ok(self.purges.command(purges(), command).await?)
    }
}

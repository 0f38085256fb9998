//! Guests in rooms of other servers (client-server API, "Guest access"). Only this server knows that they are guests, and so it alone keeps them out: no other
//! server is told. Where guest access is withdrawn while they are in, the upkeep follower sees them out, as in rooms of this server.

use ruma::{OwnedServerName, RoomId, UserId, events::room::member::MembershipState};

use super::Footing;
use crate::{
    house::{House, HouseError, MemberWish},
    room::RoomError,
};

impl House {
    /// Refuses a room to which guests have no access, as far as its servers tell from outside. Of a room to which the guest is invited they need not tell:
    /// that is looked at afterwards.
    pub(super) async fn refuse_guest_elsewhere(
        &self,
        room_id: &RoomId,
        (user_id, footing): (&UserId, &Footing),
        servers: &[OwnedServerName],
    ) -> Result<(), HouseError> {
        let may_come = if footing.is_here {
            self.room_access(room_id, user_id).await?.guests_can_join
        } else {
            match self
                .room_elsewhere(room_id, (footing, servers), false)
                .await
            {
                Some(room) => room.summary.guest_can_join,
                None => {
                    let told = footing.told.as_ref();
                    let membership = told.and_then(|told| told.membership());
                    membership == Some(MembershipState::Invite)
                }
            }
        };
        if may_come {
            Ok(())
        } else {
            Err(RoomError::GuestForbidden.into())
        }
    }

    /// Has a guest leave a room whose state turned out to give guests no access.
    pub(super) async fn leave_unless_open_to_guests(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        if self.room_access(room_id, user_id).await?.guests_can_join {
            return Ok(());
        }
        let wish = MemberWish {
            guest: true,
            ..MemberWish::of_oneself(room_id, user_id)
        };
        match self.leave_here(wish).await {
            // The follower may have been faster.
            Ok(()) | Err(HouseError::Room(RoomError::Forbidden(_))) => {
                Err(RoomError::GuestForbidden.into())
            }
            Err(error) => Err(error),
        }
    }
}

//! Joining a room in which nobody of this server is (server-server API, "Joining Rooms").

use ruma::{
    OwnedRoomId, OwnedServerName, RoomId, ServerName, events::room::member::MembershipState,
};
use tokio::time::Instant;

use super::{
    ASKING_MAX, Footing,
    arrive::Arrival,
    complexity::Size,
    handshake::{Journey, Setback, Setbacks},
};
use crate::{
    house::{House, HouseError, JoinWish, peers::Patience},
    room::RoomError,
};

impl House {
    /// Joins through a server that is in the room. `servers` may be.
    pub(in crate::house) async fn join_through_others(
        &self,
        room_id: OwnedRoomId,
        (wish, servers): (JoinWish, Vec<OwnedServerName>),
    ) -> Result<OwnedRoomId, HouseError> {
        self.travel(move |house| async move {
            let turn = house.journeys.turns.of(&room_id);
            let _turn = turn.lock().await;
            let _everywhere = house.alone_on_the_way(&room_id).await?;
            let footing = house.footing(&room_id, &wish.user_id).await?;
            if footing.is_here {
                // Somebody was faster, or the others are asked because this server cannot let the user in.
                let joined = house.join_here(room_id.clone(), wish.clone()).await;
                if !is_for_others(&joined, &footing) {
                    return joined;
                }
            }
            house
                .join_by_handshake(&room_id, (wish, &servers), footing)
                .await?;
            Ok(room_id)
        })
        .await
    }

    async fn join_by_handshake(
        &self,
        room_id: &RoomId,
        (wish, servers): (JoinWish, &[OwnedServerName]),
        footing: Footing,
    ) -> Result<(), HouseError> {
        let (joining, is_guest) = (wish.user_id.clone(), wish.guest);
        if is_guest {
            let who = (&*joining, &footing);
            let refused = self.refuse_guest_elsewhere(room_id, who, servers);
            refused.await?;
        }
        let helpers = self.helpers(room_id, &footing, servers);
        let asked = self.size_elsewhere(room_id, (&joining, &footing), &helpers);
        let size = asked.await?;
        let membership = MembershipState::Join;
        let profile = self.member_profile(&wish.user_id).await?;
        let extra = (wish.reason, wish.extra_content.as_deref());
        let journey = Journey {
            room_id: room_id.to_owned(),
            content: Self::member_content(&membership, profile, extra)?,
            user_id: wish.user_id,
            membership,
            // A room whose size is looked at afterwards must be whole then.
            omit_members: size != Size::Unknown,
        };
        let begun = Instant::now();
        let mut setbacks = Setbacks::default();
        for server in helpers {
            if begun.elapsed() > ASKING_MAX {
                break;
            }
            match self.join_there(&server, &journey, &footing).await {
                Ok(()) => {
                    if is_guest {
                        self.leave_unless_open_to_guests(room_id, &joining).await?;
                    }
                    if size == Size::Unknown {
                        self.leave_if_too_large(room_id, &joining).await?;
                    }
                    return Ok(());
                }
                Err(Setback::Peer(error)) => setbacks.note(&server, error),
                Err(Setback::House(error)) => return Err(error),
            }
        }
        Err(setbacks.into_error())
    }

    async fn join_there(
        &self,
        server: &ServerName,
        journey: &Journey,
        footing: &Footing,
    ) -> Result<(), Setback> {
        let finished = self.make_there(server, journey).await?;
        let answer: Arrival = self
            .send_there(server, journey, (&finished, Patience::LONG))
            .await?;
        if footing.is_here {
            return self
                .arrive_among_us(server, journey, (finished, answer))
                .await;
        }
        let join = &finished.event.event_id;
        self.hear_of_meanwhile(server, &journey.room_id, join).await;
        self.arrive(server, journey, (finished, answer)).await
    }
}

/// Whether this server knows the room, but cannot vouch for the user, and others could.
pub(in crate::house) fn is_for_others(
    joined: &Result<OwnedRoomId, HouseError>,
    footing: &Footing,
) -> bool {
    let cannot = matches!(
        joined,
        Err(HouseError::Room(RoomError::UnableToGrantJoin(_)))
    );
    cannot && !footing.others.is_empty()
}

//! Joining a room in which nobody of this server is (server-server API, "Joining Rooms").

use ruma::{
    OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId, events::room::member::MembershipState,
};
use tokio::time::Instant;

use super::{
    ASKING_MAX, Footing,
    arrive::Arrival,
    complexity::Size,
    handshake::{Finished, Journey, Setback, Setbacks},
};
use crate::{
    house::{House, HouseError, JoinWish, peers::Patience},
    network::PeerError,
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
            let _alone = house.turn_into(&room_id).await?;
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
        // Before it is noted: from then on others look whether somebody goes on with it.
        let _driven = self.journeys.drive(room_id, &joining);
        // What an earlier attempt has sent is not undone by the failure of this one.
        let before = self.noted_join(room_id, &joining).await?;
        let mut in_doubt = before.is_some_and(|join| !join.sent.is_empty());
        self.note_begun(room_id, (&joining, is_guest)).await?;
        let joined = self
            .join_through_any(helpers, &journey, (&footing, &mut in_doubt))
            .await;
        if let Err(error) = joined {
            let who = (&*joining, in_doubt);
            self.note_failure(room_id, who, &error).await;
            return Err(error);
        }
        let checked = (is_guest, size != Size::Unknown);
        let may_stay = self
            .leave_unless_welcome((room_id, &joining), checked)
            .await;
        self.note_end(room_id, (&joining, may_stay.is_ok())).await?;
        may_stay
    }

    /// Asks one server after the other. `in_doubt` becomes true when one of them may have let the user in although the join fails.
    async fn join_through_any(
        &self,
        helpers: Vec<OwnedServerName>,
        journey: &Journey,
        (footing, in_doubt): (&Footing, &mut bool),
    ) -> Result<(), HouseError> {
        let begun = Instant::now();
        let mut setbacks = Setbacks::default();
        for server in helpers {
            if begun.elapsed() > ASKING_MAX {
                break;
            }
            let joined = self.join_there(&server, journey, (footing, &mut *in_doubt));
            match joined.await {
                Ok(()) => return Ok(()),
                Err(Setback::Peer(error)) => setbacks.note(&server, error),
                Err(Setback::Version(version)) => setbacks.note_version(&server, version),
                Err(Setback::House(error)) => return Err(error),
            }
        }
        Err(setbacks.into_error())
    }

    /// Looks afterwards at what could not be known before: whether a guest, or anybody, may stay in the room.
    pub(super) async fn leave_unless_welcome(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        (is_guest, size_is_known): (bool, bool),
    ) -> Result<(), HouseError> {
        if is_guest {
            self.leave_unless_open_to_guests(room_id, user_id).await?;
        }
        if !size_is_known {
            self.leave_if_too_large(room_id, user_id).await?;
        }
        Ok(())
    }

    async fn join_there(
        &self,
        server: &ServerName,
        journey: &Journey,
        (footing, in_doubt): (&Footing, &mut bool),
    ) -> Result<(), Setback> {
        let making = self.make_there(server, journey);
        let finished = self.unless_cancelled(journey, making).await?;
        self.note_sent(server, journey, &finished).await?;
        let (patience, how) = (Patience::LONG, (finished, footing));
        let entered = self.enter((server, patience), journey, how).await;
        *in_doubt |= match &entered {
            Ok(()) => false,
            Err(Setback::Peer(error)) => !is_refusal(error),
            Err(Setback::Version(_) | Setback::House(_)) => true,
        };
        entered
    }

    /// Sends a finished join, and makes the room of what is answered.
    pub(super) async fn enter(
        &self,
        (server, patience): (&ServerName, Patience),
        journey: &Journey,
        (finished, footing): (Finished, &Footing),
    ) -> Result<(), Setback> {
        let coming = self.journeys.comings.begin(&journey.room_id);
        let sending = self.send_there(server, journey, (&finished, patience));
        let answer: Arrival = self.unless_cancelled(journey, sending).await?;
        coming.answered();
        if footing.is_here {
            // Who brings events of it finds it here.
            drop(coming);
            return self
                .arrive_among_us(server, journey, (finished, answer))
                .await;
        }
        // So that the other nodes wait for it, too. If they do not, they do without what comes meanwhile.
        let _arriving = self.alone_in_arriving(&journey.room_id).await.ok();
        let join = &finished.event.event_id;
        self.hear_of_meanwhile(server, &journey.room_id, join).await;
        self.arrive(server, journey, (finished, answer)).await
    }
}

/// Whether a server has certainly not done what it was asked for, or was not even asked.
fn is_refusal(error: &PeerError) -> bool {
    matches!(
        error,
        PeerError::Off
            | PeerError::Denied
            | PeerError::Barred
            | PeerError::Refused {
                status: 400..=499,
                ..
            }
    )
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

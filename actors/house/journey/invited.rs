//! Invites of local users that other servers make (server-server API, "Inviting to a room").

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, ServerName, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::outside::{stripped_of, told_by};
use crate::{
    house::{House, HouseError},
    room::{
        RoomError,
        canonical::Canonical,
        receive::sign::{SignedPdu, co_sign},
    },
};

/// An invite as another server brings it.
#[derive(Clone, Debug)]
pub struct IncomingInvite {
    /// The room that the request names.
    pub room_id: OwnedRoomId,
    /// The event that the request names.
    pub event_id: OwnedEventId,
    /// The room's version.
    pub version: RoomVersionId,
    /// The event.
    pub event: Box<RawValue>,
    /// What is told of the room: stripped state, or whole events.
    pub state: Vec<Box<RawValue>>,
}

impl House {
    /// Takes in an invite and signs it: durable when this answers. The user's own wishes are heard. Answers the event with this server's signature.
    pub async fn receive_invite(
        &self,
        origin: &ServerName,
        invite: IncomingInvite,
    ) -> Result<Box<RawValue>, HouseError> {
        self.refuse_blocked(&invite.room_id).await?;
        let (user_id, signed) = self.examined_invite(origin, &invite).await?;
        let residence = self.welcome(origin, &invite.room_id, &user_id).await?;
        let state = self.introduced_by_invite(&invite).await?;
        if residence == Residence::Elsewhere {
            let stripped = stripped_of(&state, &user_id);
            let told = told_by(&signed, &invite.version, stripped);
            self.tell(&invite.room_id, told).await?;
        }
        Ok(signed.json)
    }

    /// What can be told from the invite alone, and this server's signature on it.
    async fn examined_invite(
        &self,
        origin: &ServerName,
        invite: &IncomingInvite,
    ) -> Result<(OwnedUserId, SignedPdu), HouseError> {
        #[derive(Deserialize)]
        struct Content {
            membership: MembershipState,
        }
        let bad = |what: &str| HouseError::InvalidParam(what.to_owned());
        let version = &invite.version;
        let rules = version
            .rules()
            .ok_or_else(|| RoomError::UnsupportedVersion(version.clone()))?;
        let texts = std::slice::from_ref(&invite.event);
        let (mut checked, flaws) = self.checked_of(&invite.room_id, version, texts).await?;
        let Some(pdu) = checked.pop() else {
            let flaw = flaws.into_values().find_map(Result::err);
            return Err(bad(flaw.as_deref().unwrap_or("this is no event")));
        };
        if pdu.event_id != invite.event_id {
            return Err(bad("this is not the event that the path names"));
        }
        let content: Option<Content> = pdu.content_as();
        let invites = content.is_some_and(|it| it.membership == MembershipState::Invite);
        if pdu.event_type != TimelineEventType::RoomMember || !invites {
            return Err(bad("this is no invite"));
        }
        if pdu.sender.server_name() != origin {
            return Err(bad("the inviter is of another server"));
        }
        let target = pdu.state_key.as_deref().map(UserId::parse);
        let Some(Ok(user_id)) = target else {
            return Err(bad("nobody is invited"));
        };
        if !self.is_local(user_id.server_name()) {
            return Err(bad("the invited user is not of this server"));
        }
        if !self.has_open_account(&user_id).await? {
            let nobody = "this server has no such user";
            return Err(HouseError::Forbidden(nobody.to_owned()));
        }
        self.check_invite(&pdu.sender, &user_id).await?;
        let text = std::str::from_utf8(pdu.json()).map_err(|error| bad(&error.to_string()))?;
        let event = Canonical::event(text, &rules)?;
        let signed = co_sign(event, &rules, &self.env).map_err(|flaw| bad(&flaw.to_string()))?;
        Ok((user_id, signed))
    }

    /// Where the room is: one in which somebody of this server is gets the invite with its other events, and may have something against it.
    async fn welcome(
        &self,
        origin: &ServerName,
        room_id: &ruma::RoomId,
        user_id: &UserId,
    ) -> Result<Residence, HouseError> {
        let gate = match self.room_gate(room_id, origin).await {
            Ok(gate) if gate.inhabited => gate,
            Ok(_) | Err(HouseError::Room(RoomError::UnknownRoom)) => {
                return Ok(Residence::Elsewhere);
            }
            Err(error) => return Err(error),
        };
        if !gate.admits {
            let barred = "the server is not admitted by the room's ACL";
            return Err(HouseError::Forbidden(barred.to_owned()));
        }
        let access = self.room_access(room_id, user_id).await?;
        match access.membership {
            Some(MembershipState::Join | MembershipState::Ban) => Err(HouseError::Forbidden(
                "the user is in the room already, or banned from it".to_owned(),
            )),
            _ => Ok(Residence::Here),
        }
    }
}

/// Where a room is.
#[derive(PartialEq, Eq)]
enum Residence {
    Here,
    Elsewhere,
}

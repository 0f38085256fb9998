//! What servers do with this one to bring their users into rooms that are here, and out of them again (server-server API, "Joining Rooms", "Knocking upon
//! a room", "Leaving Rooms").
//!
//! An event that is handed over gets this server's signature before it is taken in. That tells those who send events to other servers that it came
//! this way and is for them to pass on: see [`crate::room::wire::is_handed_in`].

use bytes::Bytes;
use ruma::{
    CanonicalJsonValue, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, ServerName,
    UserId, events::room::member::MembershipState, room_version_rules::RoomVersionRules,
};

use super::{House, HouseError, surprise};
use crate::room::{
    RoomAnswer, RoomError, RoomQuery,
    answer::RoomGate,
    canonical::Canonical,
    message::{RoomAccess, TemplateWish},
    peer::{Handed, Handshake, PeerAnswer, PeerQuestion},
    receive::{CheckedPdu, Fate, Flaw, ReceivedEvent, Role, check::RawPdu, sign::co_sign},
};

/// The key by which a restricted join names who vouches for it.
const VOUCHER: &str = "join_authorised_via_users_server";

/// Why a handshake is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// As anything else is refused.
    #[error(transparent)]
    House(#[from] HouseError),
    /// The other server does not know the room's version.
    #[error("your server does not support room version {0}")]
    IncompatibleVersion(RoomVersionId),
    /// Whether the conditions of a restricted room hold cannot be told here.
    #[error("this server cannot tell whether the user may join")]
    UnableToAuthorise,
    /// The event is not what it must be.
    #[error("{0}")]
    Invalid(String),
}

impl From<RoomError> for HandshakeError {
    fn from(error: RoomError) -> Self {
        HouseError::from(error).into()
    }
}

/// A member event that another server wants to make.
#[derive(Clone, Debug)]
pub struct TemplateAsked {
    /// Where.
    pub room_id: OwnedRoomId,
    /// Whose.
    pub user_id: OwnedUserId,
    /// The room versions that the server knows; `None` when that does not matter.
    pub versions: Option<Vec<RoomVersionId>>,
}

/// A member event for another server to finish.
#[derive(Clone, Debug)]
pub struct Template {
    /// The room's version.
    pub version: RoomVersionId,
    /// The event without hashes and signatures.
    pub event: Bytes,
}

/// A member event that another server has made.
#[derive(Clone, Copy, Debug)]
pub struct HandedPdu<'a> {
    /// Where it is said to belong.
    pub room_id: &'a RoomId,
    /// The ID that it is said to have.
    pub event_id: &'a OwnedEventId,
    /// The event.
    pub json: &'a str,
}

/// A handed event that was read, with this server's signature.
struct Read {
    sender: OwnedUserId,
    /// The user of this server who vouches for the sender.
    voucher: Option<OwnedUserId>,
    signed: Box<serde_json::value::RawValue>,
}

impl House {
    /// The member event that would bring a user of another server in or out.
    pub async fn template_for_peer(
        &self,
        origin: &ServerName,
        handshake: Handshake,
        asked: TemplateAsked,
    ) -> Result<Template, HandshakeError> {
        let TemplateAsked {
            room_id, user_id, ..
        } = asked;
        if user_id.server_name() != origin {
            return Err(forbidden("the user is not of your server"));
        }
        if !matches!(handshake, Handshake::Leave) {
            self.refuse_blocked(&room_id).await?;
        }
        let gate = self.open_gate(origin, &room_id).await?;
        let is_known = |known: &Vec<_>| known.contains(&gate.version);
        if !asked.versions.as_ref().is_none_or(is_known) {
            return Err(HandshakeError::IncompatibleVersion(gate.version));
        }
        let restriction_met = matches!(handshake, Handshake::Join { .. })
            && self.meets_restriction(&room_id, &user_id).await? == Some(true);
        let wish = TemplateWish {
            user_id,
            membership: handshake.membership(),
            restriction_met,
            vouching: self.env.server_name().to_owned(),
        };
        let query = RoomQuery::Template(Box::new(wish));
        match self.room_query(&room_id, query).await? {
            RoomAnswer::Event(event) => Ok(Template {
                version: gate.version,
                event,
            }),
            _ => Err(surprise("Template").into()),
        }
    }

    /// Takes in a member event that another server has made. A repeated one is answered as the first time.
    pub async fn take_handed(
        &self,
        origin: &ServerName,
        handshake: Handshake,
        handed: HandedPdu<'_>,
    ) -> Result<Handed, HandshakeError> {
        if !matches!(handshake, Handshake::Leave) {
            self.refuse_blocked(handed.room_id).await?;
        }
        let gate = self.open_gate(origin, handed.room_id).await?;
        let unsupported = || RoomError::UnsupportedVersion(gate.version.clone());
        let rules = gate.version.rules().ok_or_else(unsupported)?;
        let read = self.read_handed(origin, handshake, (handed, &rules))?;
        let pdu = self.check_handed(handed, &gate, &read).await?;
        if let Some(voucher) = &read.voucher {
            let whose = (&*read.sender, &**voucher);
            self.check_voucher(handed.room_id, whose).await?;
        }
        let role = Role::Next;
        let fates = self
            .receive(handed.room_id, None, vec![ReceivedEvent { pdu, role }])
            .await?;
        match fates.into_iter().next() {
            Some((_, Fate::Wanting { .. })) => {
                return Err(invalid("what the event rests on is not known here"));
            }
            Some((_, Fate::SoftFailed(reason))) => return Err(forbidden(&reason)),
            _ => {}
        }
        let question = PeerQuestion::Handed {
            event_id: handed.event_id.clone(),
            handshake,
        };
        match self.room_for_peer(origin, handed.room_id, question).await? {
            PeerAnswer::Handed(handed) => Ok(*handed),
            _ => Err(surprise("Handed").into()),
        }
    }

    /// A room that can be entered here, if it lets the server in.
    pub(super) async fn open_gate(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
    ) -> Result<RoomGate, HandshakeError> {
        let gate = self.whole_gate(room_id, origin).await?;
        if !gate.inhabited {
            return Err(RoomError::UnknownRoom.into());
        }
        if !gate.admits {
            return Err(forbidden("the server ACL of this room denies your server"));
        }
        Ok(gate)
    }

    /// Whether a condition of a restricted room holds for a user; `None` when it need not.
    async fn meets_restriction(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<bool>, HandshakeError> {
        let access = self.room_access(room_id, user_id).await?;
        let is_expected = matches!(
            access.membership,
            Some(MembershipState::Join | MembershipState::Invite)
        );
        if is_expected || !is_restricted(&access) {
            return Ok(None);
        }
        let mut is_sure = true;
        for allowed in &access.allowed_rooms {
            let gate = self.room_gate(allowed, user_id.server_name()).await;
            match gate {
                Ok(gate) if gate.inhabited && gate.partial.is_none() => {
                    let inside = self.room_access(allowed, user_id).await?;
                    if inside.membership == Some(MembershipState::Join) {
                        return Ok(Some(true));
                    }
                }
                // Nobody here is told of changes in it.
                Ok(_) | Err(HouseError::Room(RoomError::UnknownRoom)) => is_sure = false,
                Err(error) => return Err(error.into()),
            }
        }
        if is_sure {
            Ok(Some(false))
        } else {
            Err(HandshakeError::UnableToAuthorise)
        }
    }

    /// Looks whether a user comes in by a condition of a restricted room, and whoever vouches for that may still do so.
    async fn check_voucher(
        &self,
        room_id: &RoomId,
        (user_id, voucher): (&UserId, &UserId),
    ) -> Result<(), HandshakeError> {
        match self.meets_restriction(room_id, user_id).await? {
            Some(true) => {}
            Some(false) => {
                return Err(forbidden(
                    "none of the room's conditions holds for the user",
                ));
            }
            None => return Ok(()),
        }
        let query = RoomQuery::MayVouch {
            user_id: voucher.to_owned(),
        };
        match self.room_query(room_id, query).await? {
            RoomAnswer::MayVouch(true) => return Ok(()),
            RoomAnswer::MayVouch(false) => {}
            _ => return Err(surprise("MayVouch").into()),
        }
        // Another server may have a member who can: a refusal for good would keep the user out.
        let reason = "the member of this server who vouches may not invite any more";
        Err(RoomError::UnableToGrantJoin(reason.to_owned()).into())
    }

    /// Reads an event, looks whether it is what it must be, and signs it.
    fn read_handed(
        &self,
        origin: &ServerName,
        handshake: Handshake,
        (handed, rules): (HandedPdu<'_>, &RoomVersionRules),
    ) -> Result<Read, HandshakeError> {
        let raw = RawPdu::read(handed.json, rules).map_err(flawed)?;
        if raw.event_id != *handed.event_id {
            return Err(invalid("this is not the ID of the event"));
        }
        let mut event = Canonical::event(handed.json, rules)?;
        let text = |key: &str| event.string(key);
        let content = event.object.get("content");
        let content = content.and_then(CanonicalJsonValue::as_object);
        let said = |key: &str| content?.get(key)?.as_str();
        if text("room_id") != Some(handed.room_id.as_str()) {
            return Err(invalid("the event is of another room"));
        }
        let membership = handshake.membership();
        if text("type") != Some("m.room.member") || said("membership") != Some(membership.as_str())
        {
            return Err(invalid(&format!("this is not a {membership} event")));
        }
        let sender = text("sender").and_then(|sender| UserId::parse(sender).ok());
        let sender = sender
            .filter(|sender| sender.server_name() == origin)
            .ok_or_else(|| invalid("the sender is not of your server"))?;
        if text("state_key") != Some(sender.as_str()) {
            return Err(invalid("the state key is not the sender"));
        }
        let voucher = said(VOUCHER).and_then(|voucher| UserId::parse(voucher).ok());
        let voucher = voucher.filter(|voucher| self.is_local(voucher.server_name()));
        event.object.remove("unsigned");
        let signatures = event.object.get_mut("signatures");
        if let Some(CanonicalJsonValue::Object(signatures)) = signatures {
            // Nobody else signs for this server.
            signatures.remove(self.env.server_name().as_str());
        }
        let signed = co_sign(event, rules, &self.env).map_err(flawed)?.json;
        Ok(Read {
            sender,
            voucher,
            signed,
        })
    }

    /// Checks signatures and hashes.
    async fn check_handed(
        &self,
        handed: HandedPdu<'_>,
        gate: &RoomGate,
        read: &Read,
    ) -> Result<CheckedPdu, HandshakeError> {
        let pdus = std::slice::from_ref(&read.signed);
        let (good, flaws) = self.checked_of(handed.room_id, &gate.version, pdus).await?;
        let Some(pdu) = good.into_iter().next() else {
            let flaw = flaws.into_values().find_map(Result::err);
            return Err(invalid(&flaw.unwrap_or_else(|| "malformed".to_owned())));
        };
        if *pdu.json() != *read.signed.get().as_bytes() {
            return Err(invalid("the content does not fit its hash"));
        }
        Ok(pdu)
    }
}

/// Whether the room lets in members of other rooms.
fn is_restricted(access: &RoomAccess) -> bool {
    let Some(rules) = access.version.rules() else {
        return false;
    };
    match access.join_rule().as_deref() {
        Some("restricted") => rules.authorization.restricted_join_rule,
        Some("knock_restricted") => rules.authorization.knock_restricted_join_rule,
        _ => false,
    }
}

fn flawed(flaw: Flaw) -> HandshakeError {
    match flaw {
        Flaw::TooLarge(_) => RoomError::TooLarge.into(),
        Flaw::Malformed(reason) => RoomError::BadJson(reason).into(),
        flaw => invalid(&flaw.to_string()),
    }
}

fn invalid(reason: &str) -> HandshakeError {
    HandshakeError::Invalid(reason.to_owned())
}

pub(super) fn forbidden(reason: &str) -> HandshakeError {
    HouseError::Forbidden(reason.to_owned()).into()
}

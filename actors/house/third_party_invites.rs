//! Invites to somebody of whom only an address is known, once an identity server has signed who it is.

use futures_util::{StreamExt as _, stream};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    HandshakeError, House, HouseError, MemberWish,
    handshakes::forbidden,
    peers::{Patience, segment},
};
use crate::{
    network::{PeerError, PeerMethod},
    room::{RoomAnswer, RoomError, RoomQuery, message::Reader},
};

/// So many invites to one address are carried on at once.
const AT_ONCE: usize = 8;

/// What an identity server has signed.
#[derive(Clone, Debug)]
pub struct SignedInvite {
    /// Who invited the address.
    pub sender: OwnedUserId,
    /// Whose the address is.
    pub mxid: OwnedUserId,
    /// The invite's name.
    pub token: String,
    /// The signatures, as a JSON object.
    pub signatures: Value,
}

/// An invite to an address of which an identity server says whose it is now.
#[derive(Clone, Debug)]
pub struct BoundInvite {
    /// Where to.
    pub room_id: OwnedRoomId,
    /// Who invited the address.
    pub sender: OwnedUserId,
    /// Whose the address is.
    pub target: OwnedUserId,
    /// What the identity server has signed: the invite's name, and whose the address is.
    pub signed: Value,
}

impl BoundInvite {
    /// The invite's name, if all is there that must have been signed.
    fn token(&self) -> Option<&str> {
        let is_signed = self.signed["signatures"].is_object();
        let is_theirs = self.signed["mxid"] == self.target.as_str();
        self.signed["token"]
            .as_str()
            .filter(|_| is_signed && is_theirs)
    }
}

impl House {
    /// Turns the invite to an address into one to the user whose address it is. That the signature is good is judged by the room's rules. Nothing
    /// happens when the user is invited or joined already.
    pub async fn accept_third_party_invite(
        &self,
        room_id: &RoomId,
        joiner: &UserId,
        signed: SignedInvite,
    ) -> Result<(), HouseError> {
        if signed.mxid != joiner {
            return Err(HouseError::Forbidden(
                "the invite is signed for another user".to_owned(),
            ));
        }
        if self.is_expected(room_id, joiner).await? {
            return Ok(());
        }
        if !self.is_local(signed.sender.server_name()) {
            return Err(HouseError::Unreachable(
                signed.sender.server_name().to_owned(),
            ));
        }
        // The sender stands there because it is part of what was signed (identity service API, `sign-ed25519`).
        let proof = json!({
            "mxid": signed.mxid, "sender": signed.sender, "token": signed.token, "signatures": signed.signatures
        });
        self.complete(BoundInvite {
            room_id: room_id.to_owned(),
            sender: signed.sender,
            target: joiner.to_owned(),
            signed: proof,
        })
        .await
    }

    /// Another server's user has an address that a user of this one has invited (server-server API, `exchange_third_party_invite`): invites the user.
    pub async fn exchange_third_party_invite(
        &self,
        origin: &ServerName,
        invite: BoundInvite,
    ) -> Result<(), HandshakeError> {
        if invite.target.server_name() != origin {
            return Err(forbidden("the invited user is not of your server"));
        }
        if invite.token().is_none() {
            let reason = "what is signed does not fit the invite".to_owned();
            return Err(HandshakeError::Invalid(reason));
        }
        self.open_gate(origin, &invite.room_id).await?;
        if !self.is_local(invite.sender.server_name()) {
            return Err(forbidden("this server does not invite for others"));
        }
        if self.is_expected(&invite.room_id, &invite.target).await? {
            return Ok(());
        }
        Ok(self.complete(invite).await?)
    }

    /// An identity server tells that an address is a local user's, and what rooms the address was invited to. Says so when another server could not be
    /// asked: then it is worth to be told again.
    pub async fn address_bound(
        &self,
        user_id: &UserId,
        invites: Vec<BoundInvite>,
    ) -> Result<(), HouseError> {
        // Who does not live here is told nothing.
        self.account(user_id).await?;
        let work = stream::iter(invites).map(|invite| async move {
            if invite.target != user_id || invite.token().is_none() {
                return Ok(());
            }
            self.carry_on(invite).await
        });
        let outcomes: Vec<_> = work.buffer_unordered(AT_ONCE).collect().await;
        outcomes.into_iter().collect()
    }

    /// Has a local user invited, whose address was: here, if the room is here, otherwise by the server of who invited the address.
    async fn carry_on(&self, invite: BoundInvite) -> Result<(), HouseError> {
        let server = invite.sender.server_name().to_owned();
        let is_here = match self.room_gate(&invite.room_id, &server).await {
            Ok(gate) => gate.inhabited,
            Err(HouseError::Room(RoomError::UnknownRoom)) => false,
            Err(error) => return Err(error),
        };
        let (room_id, user_id) = (invite.room_id.clone(), invite.target.clone());
        if is_here {
            if self.is_expected(&room_id, &user_id).await? {
                return Ok(());
            }
            if let Err(error) = self.complete(invite).await {
                tracing::info!(%room_id, %user_id, %error, "the invite to an address is void");
            }
            return Ok(());
        }
        if self.is_local(&server) {
            return Ok(());
        }
        let room = segment(room_id.as_str());
        let path = format!("/_matrix/federation/v1/exchange_third_party_invite/{room}");
        let content = json!({
            "membership": "invite",
            "third_party_invite": {"display_name": user_id.localpart(), "signed": invite.signed},
        });
        let event = json!({
            "type": "m.room.member", "room_id": room_id, "sender": invite.sender, "state_key": user_id, "content": content,
        });
        let asked = self
            .tell_peer::<Value>(&server, (PeerMethod::Put, path), &event, Patience::SHORT)
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(PeerError::Unreachable(_) | PeerError::TooSlow) => {
                Err(HouseError::Unreachable(server))
            }
            Err(error) => {
                tracing::info!(%room_id, %user_id, %error, "the invite to an address is void");
                Ok(())
            }
        }
    }

    /// Whether a user is in a room, or invited to it.
    async fn is_expected(&self, room_id: &RoomId, user_id: &UserId) -> Result<bool, HouseError> {
        let access = self.room_access(room_id, user_id).await?;
        Ok(matches!(
            access.membership,
            Some(MembershipState::Join | MembershipState::Invite)
        ))
    }

    /// Invites the user of the address. That the signature is good is judged by the room's rules.
    async fn complete(&self, invite: BoundInvite) -> Result<(), HouseError> {
        let display_name = self.invited_as(&invite).await;
        let content =
            json!({"third_party_invite": {"display_name": display_name, "signed": invite.signed}});
        let wish = MemberWish {
            room_id: invite.room_id,
            sender: invite.sender,
            target: invite.target,
            reason: None,
            extra_content: Some(content.to_string()),
            guest: false,
        };
        self.invite(wish, false).await
    }

    /// What the invite shows of the address; nothing when its sender cannot read the room any more, which the rules refuse anyway.
    async fn invited_as(&self, invite: &BoundInvite) -> String {
        #[derive(Deserialize)]
        struct Content {
            display_name: String,
        }
        let query = RoomQuery::StateEvent {
            reader: Reader {
                user_id: invite.sender.clone(),
                device_id: None,
                ignored: Vec::new(),
                forgotten: None,
                sees_all: false,
            },
            event_type: StateEventType::RoomThirdPartyInvite,
            state_key: invite.token().unwrap_or_default().to_owned(),
            content_only: true,
        };
        match self.room_query(&invite.room_id, query).await {
            Ok(RoomAnswer::Event(json)) => serde_json::from_slice::<Content>(&json)
                .map(|content| content.display_name)
                .unwrap_or_default(),
            _ => String::new(),
        }
    }
}

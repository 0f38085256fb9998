//! Invites to somebody of whom only an address is known, once an identity server has signed who it is.

use ruma::{
    OwnedUserId, RoomId, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{House, HouseError, MemberWish};
use crate::room::{RoomAnswer, RoomQuery, message::Reader};

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
        let access = self.room_access(room_id, joiner).await?;
        if matches!(
            access.membership,
            Some(MembershipState::Join | MembershipState::Invite)
        ) {
            return Ok(());
        }
        if !self.is_local(signed.sender.server_name()) {
            return Err(HouseError::Unreachable(
                signed.sender.server_name().to_owned(),
            ));
        }
        let display_name = self.invited_as(room_id, &signed).await;
        // The sender stands there because it is part of what was signed (identity service API, `sign-ed25519`).
        let proof = json!({
            "mxid": signed.mxid, "sender": signed.sender, "token": signed.token, "signatures": signed.signatures
        });
        let content =
            json!({"third_party_invite": {"display_name": display_name, "signed": proof}});
        let wish = MemberWish {
            room_id: room_id.to_owned(),
            sender: signed.sender,
            target: joiner.to_owned(),
            reason: None,
            extra_content: Some(content.to_string()),
            guest: false,
        };
        self.invite(wish, false).await
    }

    /// What the invite shows of the address; nothing when its sender cannot read the room any more, which the rules refuse anyway.
    async fn invited_as(&self, room_id: &RoomId, signed: &SignedInvite) -> String {
        #[derive(Deserialize)]
        struct Content {
            display_name: String,
        }
        let query = RoomQuery::StateEvent {
            reader: Reader {
                user_id: signed.sender.clone(),
                device_id: None,
                ignored: Vec::new(),
                forgotten: None,
            },
            event_type: StateEventType::RoomThirdPartyInvite,
            state_key: signed.token.clone(),
            content_only: true,
        };
        match self.room_query(room_id, query).await {
            Ok(RoomAnswer::Event(json)) => serde_json::from_slice::<Content>(&json)
                .map(|content| content.display_name)
                .unwrap_or_default(),
            _ => String::new(),
        }
    }
}

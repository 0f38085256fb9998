//! `PUT /_matrix/federation/v1/exchange_third_party_invite/{roomId}`

use std::sync::Arc;

use playhouse_actors::house::BoundInvite;
use ruma::{api::federation::thirdparty::exchange_invite::v1::Request, events::StateEventType};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson},
    federation_api::membership::refused,
};

#[derive(Deserialize)]
struct Content {
    membership: String,
    third_party_invite: Invite,
}

#[derive(Deserialize)]
struct Invite {
    signed: Value,
}

/// Invites the user whose an invited address is.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let content: Content = serde_json::from_str(request.content.json().get())?;
    if request.kind != StateEventType::RoomMember || content.membership != "invite" {
        return Err(Failure::invalid_param("this is not an invite"));
    }
    let invite = BoundInvite {
        room_id: request.room_id,
        sender: request.sender,
        target: request.state_key,
        signed: content.third_party_invite.signed,
    };
    let exchanged = app.house.exchange_third_party_invite(&peer.origin, invite);
    exchanged.await.map_err(refused)?;
    Ok(Object::new().finish())
}

//! `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`

use std::sync::Arc;

use playhouse_actors::{house::TemplateAsked, room::peer::Handshake};
use ruma::api::federation::membership::prepare_leave_event::v1::Request;

use crate::{
    edge::{App, Failure, Peer, RawJson},
    federation_api::membership::template,
};

/// Makes a leave event for a server to finish.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let asked = TemplateAsked {
        room_id: request.room_id,
        user_id: request.user_id,
        versions: None,
    };
    template(&app, &peer, Handshake::Leave, asked).await
}

//! `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`

use std::sync::Arc;

use ruma::{
    api::client::room::get_summary::v1::{Request, Response},
    events::room::member::MembershipState,
};

use crate::{
    client::summary::summary,
    edge::{App, Failure, Session},
};

/// Tells what a room says of itself to those who could come in.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<Response, Failure> {
    let user_id = caller.as_ref().map(|caller| &*caller.user_id);
    let (room_id, access) = app
        .house
        .room_summary(&request.room_id_or_alias, user_id)
        .await?;
    let membership = access.membership.clone();
    let mut response = Response::new(summary(room_id, access));
    response.membership = caller.map(|_| membership.unwrap_or(MembershipState::Leave));
    Ok(response)
}

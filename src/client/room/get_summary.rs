//! `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`

use std::sync::Arc;

use ruma::{
    api::client::room::get_summary::v1::{Request, Response},
    events::room::member::MembershipState,
};

use crate::edge::{App, Failure, Session};

/// Tells what a room says of itself to those who could come in.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<Response, Failure> {
    let user_id = caller.as_ref().map(|caller| &*caller.user_id);
    let house = &app.house;
    let (summary, membership) = house
        .room_summary(&request.room_id_or_alias, &request.via, user_id)
        .await?;
    let mut response = Response::new(summary);
    response.membership = caller.map(|_| membership.unwrap_or(MembershipState::Leave));
    Ok(response)
}

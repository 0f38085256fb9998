//! `GET /_matrix/federation/v1/query/directory`

use std::sync::Arc;

use ruma::api::federation::query::get_room_information::v1::{Request, Response};

use crate::edge::{App, Failure, Peer};

/// Tells which room an alias of this server names.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    if !app.house.is_local(request.room_alias.server_name()) {
        return Err(Failure::not_found("this alias is not of this server"));
    }
    let resolved = app.house.resolve_alias(&request.room_alias).await?;
    Ok(Response::new(resolved.room_id, resolved.servers))
}

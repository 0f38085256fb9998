//! `GET /_matrix/client/*/directory/room/{roomAlias}`

use std::sync::Arc;

use ruma::api::client::alias::get_alias::v3::{Request, Response};

use crate::edge::{App, Failure};

/// Tells which room an alias points to, and through which servers it can be joined.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Response, Failure> {
    let resolved = app.house.resolve_alias(&request.room_alias).await?;
    Ok(Response::new(resolved.room_id, resolved.servers))
}

//! `GET /_matrix/client/*/directory/list/room/{roomId}`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::{
    UserId,
    api::client::{
        directory::get_room_visibility::v3::{Request, Response},
        room::Visibility,
    },
};

use crate::edge::{App, Failure};

/// Tells whether a room is in the public list.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Response, Failure> {
    // Nobody's membership is wanted; the server's own name stands for nobody.
    let nobody =
        UserId::parse(format!("@:{}", app.house.env().server_name())).map_err(Failure::internal)?;
    let query = RoomQuery::Access { user_id: nobody };
    match app.house.room_query(&request.room_id, query).await? {
        RoomAnswer::Access(access) if access.public => Ok(Response::new(Visibility::Public)),
        RoomAnswer::Access(_) => Ok(Response::new(Visibility::Private)),
        _ => Err(Failure::internal("unexpected answer to Access")),
    }
}

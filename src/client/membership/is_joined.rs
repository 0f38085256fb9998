//! `GET /_matrix/client/unstable/io.element.msc4502/rooms/{roomId}/is_joined`

use std::sync::Arc;

use playhouse_actors::{house::HouseError, room::RoomError};
use ruma::{
    RoomId, ServerName, UserId,
    api::{auth_scheme::AccessToken, request, response},
    events::room::member::MembershipState,
    metadata,
};

use crate::{
    client::{page::Object, parse_id, query::parameter},
    edge::{App, Arguments, Failure, RawJson, Session},
};

metadata! {
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/io.element.msc4502/rooms/{room_id}/is_joined",
}

/// Names a room; the rest of the query is read by the handler.
#[request]
#[expect(dead_code, reason = "the handler reads the path itself")]
pub(crate) struct Request {
    #[ruma_api(path)]
    room_id: String,
}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// Tells an administrator whether a user, or anybody of a server, is joined to a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    if !caller.admin {
        return Err(Failure::forbidden("only administrators may ask this"));
    }
    let [room_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let room_id: &RoomId = parse_id(room_id)?;
    let query = arguments.query.as_deref();
    let joined = match (parameter(query, "mxid"), parameter(query, "server_name")) {
        (Some(user_id), None) => {
            let user_id: &UserId = parse_id(&user_id)?;
            is_user_joined(&app, room_id, user_id).await?
        }
        (None, Some(server_name)) => {
            let server_name: &ServerName = parse_id(&server_name)?;
            is_server_joined(&app, &caller, (room_id, server_name)).await?
        }
        _ => {
            return Err(Failure::missing_param("give either mxid or server_name"));
        }
    };
    let joined: &[u8] = if joined { b"true" } else { b"false" };
    Ok(Object::new().raw("joined", joined).finish())
}

async fn is_user_joined(app: &App, room_id: &RoomId, user_id: &UserId) -> Result<bool, Failure> {
    match app.house.room_access(room_id, user_id).await {
        Ok(access) => Ok(access.membership == Some(MembershipState::Join)),
        Err(HouseError::Room(RoomError::UnknownRoom) | HouseError::Unreachable(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn is_server_joined(
    app: &App,
    caller: &Session,
    (room_id, server_name): (&RoomId, &ServerName),
) -> Result<bool, Failure> {
    match app.house.room_access(room_id, &caller.user_id).await {
        Ok(access) => Ok(access.servers.iter().any(|server| server == server_name)),
        Err(HouseError::Room(RoomError::UnknownRoom) | HouseError::Unreachable(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

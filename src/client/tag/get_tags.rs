//! `GET /_matrix/client/*/user/{userId}/rooms/{roomId}/tags`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::user::{UserAnswer, UserError, UserQuery};
use ruma::api::client::tag::get_tags::v3::Request;

use crate::{
    client::must_be_own,
    edge::{App, Failure, RawJson, Session},
};

/// Lists the tags that the caller has put on a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    must_be_own(&caller, &request.user_id)?;
    let query = UserQuery::AccountData {
        room_id: Some(request.room_id),
        event_type: "m.tag".to_owned(),
    };
    match app.house.user_query(&caller.user_id, query).await {
        Ok(UserAnswer::Json(json)) => Ok(RawJson(Bytes::from(json))),
        Ok(_) => Err(Failure::internal("unexpected answer to AccountData")),
        Err(UserError::NotFound) => Ok(RawJson(Bytes::from_static(b"{\"tags\":{}}"))),
        Err(error) => Err(error.into()),
    }
}

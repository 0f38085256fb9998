//! `GET /_matrix/client/*/user/{userId}/filter/{filterId}`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::api::client::filter::get_filter::v3::Request;

use crate::{
    client::must_be_own,
    edge::{App, Failure, RawJson, Session},
};

/// Gives a filter back as it was sent.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    must_be_own(&caller, &request.user_id)?;
    let query = UserQuery::Filter(request.filter_id);
    match app.house.user_query(&caller.user_id, query).await? {
        UserAnswer::Json(json) => Ok(RawJson(Bytes::from(json))),
        _ => Err(Failure::internal("unexpected answer to Filter")),
    }
}

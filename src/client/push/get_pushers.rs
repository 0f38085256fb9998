//! `GET /_matrix/client/*/pushers`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::api::client::push::get_pushers::v3::Request;

use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session},
};

/// Lists the caller's pushers.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<RawJson, Failure> {
    let query = UserQuery::Pushers;
    let UserAnswer::Pushers(pushers) = app.house.user_query(&caller.user_id, query).await? else {
        return Err(Failure::internal("unexpected answer to Pushers"));
    };
    let pushers: Vec<_> = pushers.into_iter().map(Bytes::from).collect();
    Ok(page::Object::new().array("pushers", &pushers).finish())
}

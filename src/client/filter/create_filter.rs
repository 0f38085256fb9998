//! `POST /_matrix/client/*/user/{userId}/filter`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::user::{UserCommand, UserReply};
use ruma::api::client::filter::FilterDefinition;
use serde_json::json;

use crate::{
    client::{json_object_text, must_be_own, parse_id},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Keeps a filter as it was sent; the same filter gets the same ID.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [user_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    must_be_own(&caller, parse_id(user_id)?)?;
    // Kept as sent, but only if it is a filter at all.
    serde_json::from_slice::<FilterDefinition>(&arguments.body)?;
    let command = UserCommand::StoreFilter(json_object_text(&arguments.body)?);
    match app.house.user_command(&caller.user_id, command).await? {
        UserReply::FilterId(filter_id) => Ok(RawJson(Bytes::from(
            json!({ "filter_id": filter_id }).to_string(),
        ))),
        _ => Err(Failure::internal("unexpected reply to StoreFilter")),
    }
}

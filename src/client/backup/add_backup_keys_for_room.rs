//! `PUT /_matrix/client/*/room_keys/keys/{roomId}`

use std::sync::Arc;

use super::{
    sessions::{self, SentRoom},
    version,
};
use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// Stores sessions of a room in the current version.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: SentRoom = serde_json::from_slice(&arguments.body)?;
    let room_id = arguments.path.first().map_or("", String::as_str);
    let new = body.into_new(room_id).collect();
    sessions::store(&app, &caller, version(&arguments)?, new).await
}

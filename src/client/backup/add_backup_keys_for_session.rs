//! `PUT /_matrix/client/*/room_keys/keys/{roomId}/{sessionId}`

use std::sync::Arc;

use super::{
    sessions::{self, SentSession},
    version,
};
use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// Stores a session in the current version.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: SentSession = serde_json::from_slice(&arguments.body)?;
    let [room_id, session_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has a room and a session"));
    };
    let new = vec![body.into_new(room_id, session_id.clone())];
    sessions::store(&app, &caller, version(&arguments)?, new).await
}

//! `DELETE /_matrix/client/*/room_keys/keys/{roomId}/{sessionId}`

use std::sync::Arc;

use super::{selection, sessions};
use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// Deletes one session.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    sessions::delete(&app, &caller, selection(&arguments)?).await
}

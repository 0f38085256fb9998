//! `GET /_matrix/client/*/room_keys/keys/{roomId}/{sessionId}`

use std::sync::Arc;

use super::{selection, sessions};
use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// Gives one session.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    sessions::one(&app, &caller, selection(&arguments)?).await
}

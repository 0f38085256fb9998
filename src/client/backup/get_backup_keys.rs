//! `GET /_matrix/client/*/room_keys/keys`

use std::sync::Arc;

use super::{selection, sessions};
use crate::edge::{App, Arguments, Failure, Prepared, Session};

/// Gives all sessions of a version.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<Prepared, Failure> {
    let selection = selection(&arguments)?;
    sessions::all(app, caller, selection).await
}

//! `GET /_matrix/client/*/room_keys/version/{version}`

use std::sync::Arc;

use super::described;
use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// Tells about a version.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let version = arguments.path.first().cloned();
    let version = app.house.backup_version(&caller.user_id, version).await?;
    Ok(described(&version))
}

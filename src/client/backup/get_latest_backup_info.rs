//! `GET /_matrix/client/*/room_keys/version`

use std::sync::Arc;

use super::described;
use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// Tells about the current version.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _arguments: Arguments,
) -> Result<RawJson, Failure> {
    let version = app.house.backup_version(&caller.user_id, None).await?;
    Ok(described(&version))
}

//! `DELETE /_matrix/client/*/room_keys/version/{version}`

use std::sync::Arc;

use playhouse_actors::backup::BackupCommand;

use crate::{
    client::empty,
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Ends a version with all its sessions.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let version = arguments.path.first().cloned().unwrap_or_default();
    let command = BackupCommand::DeleteVersion(version);
    app.house.backup_command(&caller.user_id, command).await?;
    Ok(empty())
}

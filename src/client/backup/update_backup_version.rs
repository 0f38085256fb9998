//! `PUT /_matrix/client/*/room_keys/version/{version}`

use std::sync::Arc;

use playhouse_actors::backup::BackupCommand;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::text;
use crate::{
    client::empty,
    edge::{App, Arguments, Failure, RawJson, Session},
};

#[derive(Deserialize)]
struct Body {
    algorithm: String,
    auth_data: Box<RawValue>,
    version: Option<String>,
}

/// Changes a version's `auth_data`; its algorithm stays.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = serde_json::from_slice(&arguments.body)?;
    let version = arguments.path.first().cloned().unwrap_or_default();
    if body.version.is_some_and(|named| named != version) {
        return Err(Failure::invalid_param("version is not that of the path"));
    }
    let command = BackupCommand::SetAuthData {
        version,
        algorithm: body.algorithm,
        auth_data: text(&body.auth_data),
    };
    app.house.backup_command(&caller.user_id, command).await?;
    Ok(empty())
}

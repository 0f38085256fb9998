//! `POST /_matrix/client/*/room_keys/version`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::backup::{BackupCommand, BackupReply};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::text;
use crate::edge::{App, Arguments, Failure, RawJson, Session};

#[derive(Deserialize)]
struct Body {
    algorithm: String,
    auth_data: Box<RawValue>,
}

/// Begins a version of the backup, which is the current one from now on.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = serde_json::from_slice(&arguments.body)?;
    let command = BackupCommand::CreateVersion {
        algorithm: body.algorithm,
        auth_data: text(&body.auth_data),
    };
    match app.house.backup_command(&caller.user_id, command).await? {
        BackupReply::Version(version) => {
            let answer = json!({ "version": version });
            Ok(RawJson(Bytes::from(answer.to_string())))
        }
        _ => Err(Failure::internal("unexpected answer to CreateVersion")),
    }
}

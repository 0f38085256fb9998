//! `PUT /_matrix/client/*/admin/lock/{userId}`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::api::client::admin::lock_user::v1::{Request, Response};

use super::{account, must_be_other};
use crate::edge::{App, Failure, Session};

/// Changes whether an account is locked.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_be_other(&caller, &account(&app, &caller, &request.user_id).await?)?;
    let command = UserCommand::SetLocked(request.locked);
    app.house.user_command(&request.user_id, command).await?;
    Ok(Response::new(request.locked))
}

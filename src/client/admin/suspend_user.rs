//! `PUT /_matrix/client/*/admin/suspend/{userId}`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::api::client::admin::suspend_user::v1::{Request, Response};

use super::{account, must_be_other};
use crate::edge::{App, Failure, Session};

/// Changes whether an account is suspended.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_be_other(&caller, &account(&app, &caller, &request.user_id).await?)?;
    let command = UserCommand::SetSuspended(request.suspended);
    app.house.user_command(&request.user_id, command).await?;
    Ok(Response::new(request.suspended))
}

//! `POST /_matrix/client/*/account/3pid/unbind`

use std::sync::Arc;

use playhouse_actors::threepid::Address;
use ruma::api::client::account::unbind_3pid::v3::{Request, Response};

use super::forget;
use crate::edge::{App, Failure, Session};

/// Lets identity servers forget whose an address is. The account keeps it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let address = Address::new(request.medium.as_str(), &request.address)
        .ok_or_else(|| Failure::invalid_param("this is no address of that medium"))?;
    let known = forget::bindings(&app, &caller.user_id, &address, request.id_server).await?;
    let forgotten = forget::unbind(&app, &caller.user_id, known).await?;
    Ok(Response::new(forget::status(forgotten, false)))
}

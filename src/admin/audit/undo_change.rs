//! `POST /_playhouse/admin/v1/audit/{id}/undo`

use std::sync::Arc;

use playhouse_actors::house::{HouseError, Undo};
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::number;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/audit/{id}/undo",
}

/// Names a change.
#[request]
pub(crate) struct Request {
    /// Its number.
    #[ruma_api(path)]
    pub(crate) id: String,
}

/// It is taken back.
#[response]
pub(crate) struct Response {}

/// Takes a change back, where nothing has changed since.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let change = app.house.noted_change(number(&request.id)?).await?;
    let undo = Undo::of(&change).map_err(HouseError::from)?;
    caller.may(undo.role())?;
    app.house.undo(&undo, &caller.name).await?;
    Ok(Response {})
}

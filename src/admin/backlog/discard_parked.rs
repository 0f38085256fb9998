//! `POST /_playhouse/admin/v1/parked/discard`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Place, Shown};
use crate::edge::{Admin, App, Failure};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/parked/discard",
}

/// Names a parked record.
#[request]
pub(crate) struct Request {
    /// Where it is.
    #[ruma_api(body)]
    pub(crate) place: Place,
}

/// It is forgotten.
#[response]
pub(crate) struct Response {
    /// As it was parked.
    #[ruma_api(body)]
    pub(crate) parked: Shown,
}

/// Forgets a parked record: what should have come of it does not. The record itself stays in the log.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let place = request.place.parked()?;
    let parked = app.house.discard_parked(&place).await?;
    Ok(Response {
        parked: parked.into(),
    })
}

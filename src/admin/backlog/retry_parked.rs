//! `POST /_playhouse/admin/v1/parked/retry`

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
    path: "/_playhouse/admin/v1/parked/retry",
}

/// Names a parked record.
#[request]
pub(crate) struct Request {
    /// Where it is.
    #[ruma_api(body)]
    pub(crate) place: Place,
}

/// It will be tried.
#[response]
pub(crate) struct Response {
    /// As it was parked.
    #[ruma_api(body)]
    pub(crate) parked: Shown,
}

/// Lets a parked record be tried again: by a follower within seconds, by a read model when the server is started the next time.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let place = request.place.parked()?;
    let parked = app.house.retry_parked(&place).await?;
    Ok(Response {
        parked: parked.into(),
    })
}

//! `DELETE /_synapse/admin/v1/event_reports/{report_id}`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Kind, known};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/event_reports/{report_id}",
}

/// Names a report of an event.
#[request]
pub(crate) struct Request {
    /// Its number.
    #[ruma_api(path)]
    pub(crate) report_id: String,
}

/// It is gone.
#[response]
pub(crate) struct Response {}

/// Deletes a report of an event; what was reported stays as it is.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let filed = known(&app, &request.report_id, Kind::Event).await?;
    app.house.delete_report(&filed).await?;
    Ok(Response {})
}

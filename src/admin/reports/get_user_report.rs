//! `GET /_synapse/admin/v1/user_reports/{report_id}`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Kind, UserReport, known};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/user_reports/{report_id}",
}

/// Names a report of a user.
#[request]
pub(crate) struct Request {
    /// Its number.
    #[ruma_api(path)]
    pub(crate) report_id: String,
}

/// The report.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) report: UserReport,
}

/// Shows a report of a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let filed = known(&app, &request.report_id, Kind::User).await?;
    Ok(Response {
        report: UserReport::from(filed),
    })
}

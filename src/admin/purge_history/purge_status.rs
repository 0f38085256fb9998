//! `GET /_synapse/admin/v1/purge_history_status/{purgeId}`

use std::sync::Arc;

use playhouse_actors::purges::PurgeAnswer;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::{only_administrators, rooms::Progress},
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/purge_history_status/{purge_id}",
}

/// Names a purge.
#[request]
pub(crate) struct Request {
    /// As it was told when it began.
    #[ruma_api(path)]
    pub(crate) purge_id: String,
}

/// How it stands.
#[response]
pub(crate) struct Response {
    /// `active`, `complete` or `failed`.
    pub(crate) status: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// How far it has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Progress>,
}

/// Tells how a purge stands.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let error = match app.house.purge_standing(&request.purge_id).await? {
        PurgeAnswer::Ended(ended) => ended.error,
        _ => {
            let progress = app.house.purge_progress(&request.purge_id).await?;
            return Ok(Response {
                status: "active".to_owned(),
                error: None,
                progress: progress.map(Progress::from),
            });
        }
    };
    let status = if error.is_some() {
        "failed"
    } else {
        "complete"
    };
    Ok(Response {
        status: status.to_owned(),
        error,
        progress: None,
    })
}

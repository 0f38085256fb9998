//! `POST /_playhouse/admin/v1/backups`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    backups::{BackupDesk, Ground},
    edge::{Admin, App, Failure},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/backups",
}

/// The backup that is wanted.
#[request]
pub(crate) struct Request {
    /// With media; true when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media: Option<bool>,
}

/// It is being made.
#[response]
pub(crate) struct Response {
    /// The name of its folder.
    pub(crate) name: String,
}

/// Has a backup made.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let folder = BackupDesk::folder(&app.config)
        .ok_or_else(|| Failure::invalid_param("no folder for backups is configured"))?;
    let ground = Ground {
        house: app.house.clone(),
        config: app.config.clone(),
        media: request.media.unwrap_or(true).then(|| app.blobs.clone()),
    };
    let begun = app.backups.begin(&folder, ground);
    let name = begun
        .map_err(Failure::internal)?
        .ok_or_else(|| Failure::invalid_param("a backup is being made already").with_status(409))?;
    Ok(Response { name })
}

//! `GET /_playhouse/admin/v1/backups`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::Shown;
use crate::{
    backups::BackupDesk,
    edge::{Admin, App, Failure},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/backups",
}

/// Asks for all backups.
#[request]
pub(crate) struct Request {}

/// Backups.
#[response]
pub(crate) struct Response {
    /// The one that is being made or could not be made, then those that are whole, the newest first.
    pub(crate) backups: Vec<Shown>,
}

/// Tells which backups there are in the folder for them. The one that is being made is told by the node that makes it.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    let mut backups: Vec<Shown> = Vec::new();
    let last = app.backups.last();
    let last = last.filter(|last| !last.is_over || last.error.is_some());
    backups.extend(last.map(Shown::from));
    if let Some(folder) = BackupDesk::folder(&app.config) {
        let whole = tokio::task::spawn_blocking(move || BackupDesk::whole(&folder)).await;
        let whole = whole.map_err(Failure::internal)?;
        backups.extend(whole.into_iter().map(Shown::from));
    }
    Ok(Response { backups })
}

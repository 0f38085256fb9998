//! `GET /_playhouse/admin/v1/audit`

use std::sync::Arc;

use playhouse_schema::models::audit::WantedChanges;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use super::Shown;
use crate::{
    admin::paging::Sheet,
    edge::{Admin, App, Failure},
};

/// A page has so many changes, and never more than these: each may have a large body.
const LIMITS: (u64, u64) = (50, 200);

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/audit",
}

/// Which changes are wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    by: Option<String>,
    action: Option<String>,
    kind: Option<String>,
    target: Option<String>,
    since: Option<u64>,
    until: Option<u64>,
    from: Option<u64>,
    limit: Option<u64>,
}

/// Asks for changes.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(query_all)]
    pub(crate) query: Query,
}

/// Changes.
#[response]
pub(crate) struct Response {
    /// The newest first.
    pub(crate) changes: Vec<Shown>,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<u64>,
}

/// Tells what administrators have changed.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let query = request.query;
    let sheet = Sheet::of(query.limit, LIMITS);
    let wanted = WantedChanges {
        by: query.by,
        action: query.action,
        target_kind: query.kind,
        target: query.target,
        since_ms: query.since,
        until_ms: query.until,
        before: query.from,
    };
    let mut found = app.house.changes(&wanted, sheet.wanted()).await?;
    let has_more = sheet.cut(&mut found);
    let next = found.last().filter(|_| has_more).map(|change| change.id);
    Ok(Response {
        changes: found.into_iter().map(Shown::from).collect(),
        next,
    })
}

//! `GET /_synapse/admin/v1/statistics/users/media`

use std::sync::Arc;

use playhouse_schema::models::media_statistics::{Uploads, Wanted};
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use crate::{
    admin::{
        only_administrators,
        paging::{Span, is_backwards},
    },
    edge::{App, Failure, Session},
};

/// By what the list can be sorted.
const ORDERS: [&str; 4] = ["user_id", "displayname", "media_length", "media_count"];

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/statistics/users/media",
}

/// Asks how much media users have uploaded.
#[request]
pub(crate) struct Request {
    /// After so many.
    #[ruma_api(query)]
    pub(crate) from: Option<u64>,
    /// So many.
    #[ruma_api(query)]
    pub(crate) limit: Option<u64>,
    /// In this order.
    #[ruma_api(query)]
    pub(crate) order_by: Option<String>,
    /// Rising or falling.
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
    /// What came since then, milliseconds since the Unix epoch …
    #[ruma_api(query)]
    pub(crate) from_ts: Option<u64>,
    /// … and until then.
    #[ruma_api(query)]
    pub(crate) until_ts: Option<u64>,
    /// By users whose ID or display name has this in it.
    #[ruma_api(query)]
    pub(crate) search_term: Option<String>,
}

/// How much it is.
#[response]
pub(crate) struct Response {
    /// A page of the users.
    pub(crate) users: Vec<Used>,
    /// How many there are on all pages.
    pub(crate) total: u64,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<u64>,
}

/// What a user has uploaded.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Used {
    user_id: String,
    displayname: Option<String>,
    media_count: u64,
    media_length: u64,
}

impl From<Uploads> for Used {
    fn from(uploads: Uploads) -> Self {
        Self {
            user_id: uploads.user_id,
            displayname: uploads.displayname,
            media_count: uploads.count,
            media_length: uploads.size_bytes,
        }
    }
}

/// Tells how much media users have uploaded.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let order_by = request.order_by.as_deref().unwrap_or(ORDERS[0]);
    if !ORDERS.contains(&order_by) {
        return Err(Failure::invalid_param("cannot sort by this order_by"));
    }
    if request.search_term.as_deref() == Some("") {
        return Err(Failure::invalid_param("search_term is empty"));
    }
    let from_ms = request.from_ts.unwrap_or(0);
    if request.until_ts.is_some_and(|until_ms| until_ms <= from_ms) {
        return Err(Failure::invalid_param("until_ts is not after from_ts"));
    }
    let span = Span::of(request.from, request.limit);
    let wanted = Wanted {
        from_ms,
        until_ms: request.until_ts,
        order_by: order_by.to_owned(),
        term: request.search_term,
        falling: is_backwards(request.dir.as_deref(), false)?,
        from: span.from,
        limit: span.limit,
    };
    let (found, total) = app.house.uploads_by_user(&wanted).await?;
    Ok(Response {
        next_token: span.next(found.len(), total),
        users: found.into_iter().map(Used::from).collect(),
        total,
    })
}

//! `GET /_synapse/admin/v1/federation/destinations`

use std::sync::Arc;

use playhouse_schema::models::destinations::Wanted;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::Shown;
use crate::{
    admin::{
        only_administrators,
        paging::{Span, is_backwards},
    },
    edge::{App, Failure, Session},
};

/// By what the list can be sorted.
const ORDERS: [&str; 5] = [
    "destination",
    "retry_last_ts",
    "retry_interval",
    "failure_ts",
    "last_successful_stream_ordering",
];

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/federation/destinations",
}

/// Asks for destinations.
#[request]
pub(crate) struct Request {
    /// After so many.
    #[ruma_api(query)]
    pub(crate) from: Option<u64>,
    /// So many.
    #[ruma_api(query)]
    pub(crate) limit: Option<u64>,
    /// Whose name has this in it.
    #[ruma_api(query)]
    pub(crate) destination: Option<String>,
    /// In this order.
    #[ruma_api(query)]
    pub(crate) order_by: Option<String>,
    /// Rising or falling.
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
}

/// Destinations.
#[response]
pub(crate) struct Response {
    /// A page of them.
    pub(crate) destinations: Vec<Shown>,
    /// How many there are on all pages.
    pub(crate) total: u64,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// Lists the servers to which something was ever sent.
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
    let span = Span::of(request.from, request.limit);
    let wanted = Wanted {
        name: request.destination.unwrap_or_default(),
        order_by: order_by.to_owned(),
        backwards: is_backwards(request.dir.as_deref(), false)?,
        from: span.from,
        limit: span.limit,
    };
    let (found, total) = app.house.find_destinations(&wanted).await?;
    let next = span.next(found.len(), total);
    Ok(Response {
        destinations: found.into_iter().map(Shown::from).collect(),
        total,
        next_token: next.map(|next| next.to_string()),
    })
}

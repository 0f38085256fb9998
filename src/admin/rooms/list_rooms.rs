//! `GET /_synapse/admin/v1/rooms`

use std::sync::Arc;

use playhouse_schema::models::rooms::Wanted;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::Described;
use crate::{
    admin::{
        only_administrators,
        paging::{Span, is_backwards},
    },
    edge::{App, Failure, Session},
};

/// By what the list can be sorted: the names of this order, and whether the greatest come first unless it is turned round.
const ORDERS: [(&str, &str, bool); 15] = [
    ("name", "name", false),
    ("alphabetical", "name", false),
    ("canonical_alias", "canonical_alias", false),
    ("joined_members", "joined_members", true),
    ("size", "joined_members", true),
    ("joined_local_members", "joined_local_members", true),
    ("version", "version", true),
    ("creator", "creator", false),
    ("encryption", "encryption", false),
    ("federatable", "federatable", false),
    ("public", "public", false),
    ("join_rules", "join_rules", false),
    ("guest_access", "guest_access", false),
    ("history_visibility", "history_visibility", false),
    ("state_events", "state_events", true),
];

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms",
}

/// Asks for rooms.
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
    /// As it is, or turned round.
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
    /// Whose name or alias has this in it, or whose ID this is.
    #[ruma_api(query)]
    pub(crate) search_term: Option<String>,
    /// Only those in the public list, or only the others.
    #[ruma_api(query)]
    pub(crate) public_rooms: Option<bool>,
    /// Only those in which nobody is, or only the others.
    #[ruma_api(query)]
    pub(crate) empty_rooms: Option<bool>,
}

/// Rooms.
#[response]
pub(crate) struct Response {
    /// A page of them.
    pub(crate) rooms: Vec<Described>,
    /// After so many.
    pub(crate) offset: u64,
    /// How many there are on all pages.
    pub(crate) total_rooms: u64,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_batch: Option<u64>,
    /// `from` of the page before; absent on the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prev_batch: Option<u64>,
}

/// Lists the rooms that are known here.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let wanted = request.order_by.as_deref().unwrap_or("name");
    let order = ORDERS.into_iter().find(|(name, ..)| *name == wanted);
    let (_, order_by, falls) =
        order.ok_or_else(|| Failure::invalid_param("cannot sort by this order_by"))?;
    if request.search_term.as_deref() == Some("") {
        return Err(Failure::invalid_param("search_term is empty"));
    }
    let span = Span::of(request.from, request.limit);
    let wanted = Wanted {
        server_name: app.house.env().server_name().to_string(),
        term: request.search_term,
        public: request.public_rooms,
        empty: request.empty_rooms,
        order_by: order_by.to_owned(),
        falling: is_backwards(request.dir.as_deref(), false)? != falls,
        from: span.from,
        limit: span.limit,
    };
    let (found, total_rooms) = app.house.find_rooms(&wanted).await?;
    Ok(Response {
        next_batch: span.next(found.len(), total_rooms),
        prev_batch: (span.from > 0).then(|| span.from.saturating_sub(span.limit)),
        rooms: found.into_iter().map(Described::from).collect(),
        offset: span.from,
        total_rooms,
    })
}

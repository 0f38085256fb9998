//! `GET /_synapse/admin/v1/event_reports`

use std::sync::Arc;

use playhouse_schema::models::reports::{ReportsOf, Wanted};
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{EventReport, with_names};
use crate::{
    admin::{
        only_administrators,
        paging::{Span, is_backwards},
    },
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/event_reports",
}

/// Asks for reports of events.
#[request]
pub(crate) struct Request {
    /// After so many.
    #[ruma_api(query)]
    pub(crate) from: Option<u64>,
    /// So many.
    #[ruma_api(query)]
    pub(crate) limit: Option<u64>,
    /// The oldest first (`f`) or the newest (`b`).
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
    /// Who reported; a part of the ID will do.
    #[ruma_api(query)]
    pub(crate) user_id: Option<String>,
    /// In which room; a part of the ID will do.
    #[ruma_api(query)]
    pub(crate) room_id: Option<String>,
    /// By whom the event is; a part of the ID will do.
    #[ruma_api(query)]
    pub(crate) event_sender_user_id: Option<String>,
}

/// Reports of events.
#[response]
pub(crate) struct Response {
    /// A page of them.
    pub(crate) event_reports: Vec<EventReport>,
    /// How many there are on all pages.
    pub(crate) total: u64,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<u64>,
}

/// Lists reports of events.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let span = Span::of(request.from, request.limit);
    let wanted = Wanted {
        of: ReportsOf::Events {
            room_id: request.room_id.unwrap_or_default(),
            sender: request.event_sender_user_id.unwrap_or_default(),
        },
        reporter: request.user_id.unwrap_or_default(),
        backwards: is_backwards(request.dir.as_deref(), true)?,
        from: span.from,
        limit: span.limit,
    };
    let (found, total) = app.house.find_reports(&wanted).await?;
    let next_token = span.next(found.len(), total);
    Ok(Response {
        event_reports: with_names(&app, found).await?,
        total,
        next_token,
    })
}

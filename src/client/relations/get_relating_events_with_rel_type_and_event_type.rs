//! `GET /_matrix/client/*/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`

use std::sync::Arc;

use ruma::api::client::relations::get_relating_events_with_rel_type_and_event_type::v1::Request;

use super::Wanted;
use crate::edge::{App, Failure, RawJson, Session};

/// Lists the events of one type that relate to an event in one way.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let wanted = Wanted {
        rel_type: Some(request.rel_type.to_string()),
        event_type: Some(request.event_type.to_string()),
        from: request.from,
        to: request.to,
        dir: request.dir,
        limit: request.limit,
        recurse: request.recurse,
    };
    super::answer(&app, &caller, (&request.room_id, &request.event_id), wanted).await
}

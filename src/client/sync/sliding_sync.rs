//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`

use std::sync::Arc;

use playhouse_actors::user::message::{SlidingQuery, SlidingRequest};

use super::sync_events::{greet, place, set_presence, timeout_ms};
use crate::{
    client::query::parameter,
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Tells of the rooms that the client looks at what has happened since the last time, and waits for it if nothing has.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let query = arguments.query.as_deref();
    let request: SlidingRequest = serde_json::from_slice(&arguments.body)?;
    let sync = SlidingQuery {
        device_id: caller.device()?.to_owned(),
        pos: parameter(query, "pos").filter(|pos| !pos.is_empty()),
        set_presence: set_presence(query)?,
        timeout_ms: timeout_ms(query)?,
        request,
    };
    greet(&app, &caller).await;
    let _place = place(&app, &caller, sync.pos.is_none()).await?;
    Ok(RawJson(app.house.slide(&caller.user_id, sync).await?))
}

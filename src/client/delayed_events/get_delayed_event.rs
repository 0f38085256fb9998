//! `GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}`

use std::sync::Arc;

use bytes::Bytes;
use ruma::api::client::delayed_events::get_delayed_event::unstable::Request;

use super::described;
use crate::edge::{App, Failure, RawJson, Session};

/// Tells of one of the caller's delayed events.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let delayed = app
        .house
        .delayed_event(&caller.user_id, &request.delay_id)
        .await?;
    let told = described(&delayed)?;
    Ok(RawJson(Bytes::from(told.to_string())))
}

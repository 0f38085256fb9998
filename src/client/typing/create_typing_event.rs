//! `PUT /_matrix/client/*/rooms/{roomId}/typing/{userId}`

use std::sync::Arc;

use ruma::api::client::typing::create_typing_event::v3::{Request, Response, Typing};

use crate::{
    client::must_be_own,
    edge::{App, Failure, Session},
};

/// Typing is believed for two minutes at most.
const TIMEOUT_MS_MAX: u64 = 120_000;

/// How long typing is believed when the client does not say.
const TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// Tells that the caller types, or has stopped.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_be_own(&caller, &request.user_id)?;
    if caller.shadow_banned {
        return Ok(Response::new());
    }
    let timeout_ms = match request.state {
        Typing::Yes(info) => {
            let asked = u64::try_from(info.timeout.as_millis()).unwrap_or(u64::MAX);
            if asked == 0 {
                TIMEOUT_MS_DEFAULT
            } else {
                asked.min(TIMEOUT_MS_MAX)
            }
        }
        Typing::No => 0,
    };
    app.house
        .set_typing(&request.room_id, &caller.user_id, timeout_ms)
        .await?;
    Ok(Response::new())
}

//! `POST /_synapse/admin/v1/user/{user_id}/redact`

use std::sync::Arc;

use playhouse_actors::house::RedactionWish;
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

/// So many events of a room go, unless it is said.
const LIMIT: u64 = 1_000;

/// And never more than these.
const LIMIT_MAX: u64 = 100_000;

/// A reason has at most so many bytes: it stands in each redaction.
const REASON_BYTES_MAX: usize = 8 * 1024;

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/user/{user_id}/redact",
}

/// A user whose events are to be redacted.
#[request]
pub(crate) struct Request {
    /// Whose; of whichever server.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// In these rooms; none for all in which the user is or is banned.
    pub(crate) rooms: Vec<OwnedRoomId>,
    /// The reason given.
    pub(crate) reason: Option<String>,
    /// At most so many events of each room, the newest.
    pub(crate) limit: Option<u64>,
    /// The administrator redacts, and not the user.
    pub(crate) use_admin: Option<bool>,
    /// Only what was sent before this time, milliseconds since the Unix epoch.
    pub(crate) before_ts: Option<u64>,
    /// Only what was sent after this time.
    pub(crate) after_ts: Option<u64>,
}

/// It has begun.
#[response]
pub(crate) struct Response {
    /// By which to ask how it stands.
    pub(crate) redact_id: String,
}

/// Begins to redact everything that a user sent.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let limit = request.limit.unwrap_or(LIMIT);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Failure::invalid_param("limit must be from 1 to 100000"));
    }
    let reason = request.reason.as_ref();
    if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(Failure::invalid_param("the reason is too long"));
    }
    let wish = RedactionWish {
        user_id: request.user_id,
        rooms: request.rooms,
        reason: request.reason,
        limit,
        use_admin: request.use_admin.unwrap_or(false),
        after_ms: request.after_ts,
        before_ms: request.before_ts,
    };
    let redact_id = app.house.begin_redaction(wish, &caller.user_id).await?;
    Ok(Response { redact_id })
}

//! `PUT /_matrix/client/*/presence/{userId}/status`

use std::sync::Arc;

use ruma::{
    api::client::presence::set_presence::v3::{Request, Response},
    presence::PresenceState,
};

use crate::{
    client::must_be_own,
    edge::{App, Failure, Session},
};

/// A status text may be so long.
const STATUS_CHARACTERS_MAX: usize = 1_024;

/// Sets the caller's presence.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_be_own(&caller, &request.user_id)?;
    if !matches!(
        request.presence,
        PresenceState::Online | PresenceState::Unavailable | PresenceState::Offline
    ) {
        return Err(Failure::bad_json(
            "presence is online, unavailable or offline",
        ));
    }
    if request
        .status_msg
        .as_ref()
        .is_some_and(|text| text.chars().count() > STATUS_CHARACTERS_MAX)
    {
        return Err(Failure::invalid_param("the status text is too long"));
    }
    app.house
        .set_presence(&caller.user_id, request.presence, request.status_msg)
        .await?;
    Ok(Response::new())
}

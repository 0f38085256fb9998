//! `POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}/{action}`, and its older form with the action in the body
//!
//! Whoever knows the name may do it: it is as hard to guess as an access token, and may be given to a service that sees when a call ends.

use std::sync::Arc;

use playhouse_actors::delays::Outcome;
use ruma::{
    api::{
        auth_scheme::NoAccessToken, client::delayed_events::update_delayed_event::UpdateAction,
        error::ErrorCode, request, response,
    },
    metadata,
};

use crate::{
    client::empty,
    edge::{App, Failure, RawJson, Visitor},
};

metadata! {
    method: POST,
    rate_limited: true,
    authentication: NoAccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}/{action}",
}

/// What to do with a delayed event.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(path)]
    pub(crate) delay_id: String,
    /// What.
    #[ruma_api(path)]
    pub(crate) action: UpdateAction,
}

/// It is done.
#[response]
pub(crate) struct Response {}

/// The older form.
pub(crate) mod in_body {
    use super::{NoAccessToken, UpdateAction, metadata, request, response};

    metadata! {
        method: POST,
        rate_limited: true,
        authentication: NoAccessToken,
        path: "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}",
    }

    /// What to do with a delayed event.
    #[request]
    pub(crate) struct Request {
        /// Which.
        #[ruma_api(path)]
        pub(crate) delay_id: String,
        /// What.
        pub(crate) action: UpdateAction,
    }

    /// It is done.
    #[response]
    pub(crate) struct Response {}
}

/// Restarts, cancels or sends a delayed event.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Visitor,
    request: Request,
) -> Result<RawJson, Failure> {
    let unknown = Failure::new(ErrorCode::Unrecognized, "unknown action");
    act(&app, &request.delay_id, request.action)
        .await
        .unwrap_or(Err(unknown))
}

/// The same with the action in the body.
pub(crate) async fn handle_in_body(
    app: Arc<App>,
    _caller: Visitor,
    request: in_body::Request,
) -> Result<RawJson, Failure> {
    let unknown = Failure::invalid_param("action is neither restart nor cancel nor send");
    act(&app, &request.delay_id, request.action)
        .await
        .unwrap_or(Err(unknown))
}

/// `None` when there is no such action.
async fn act(app: &App, delay_id: &str, action: UpdateAction) -> Option<Result<RawJson, Failure>> {
    let house = &app.house;
    let done = match action {
        UpdateAction::Restart => house.restart_delayed_event(delay_id).await,
        UpdateAction::Cancel => house.cancel_delayed_event(delay_id).await,
        UpdateAction::Send => match house.send_delayed_event(delay_id).await {
            Ok(outcome) => return Some(sent(outcome)),
            Err(error) => Err(error),
        },
        _ => return None,
    };
    Some(done.map(|()| empty()).map_err(Failure::from))
}

fn sent(outcome: Outcome) -> Result<RawJson, Failure> {
    match outcome {
        Outcome::Sent(_) => Ok(empty()),
        Outcome::Refused { errcode, error } => Err(Failure::new(ErrorCode::from(errcode), error)),
        Outcome::Cancelled | Outcome::Overtaken => {
            Err(playhouse_actors::delays::DelayError::Ended.into())
        }
    }
}

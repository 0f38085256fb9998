//! `POST /_matrix/client/*/rooms/{roomId}/read_markers`

use std::sync::Arc;

use playhouse_actors::house::ReadMarkers;
use ruma::api::client::read_marker::set_read_marker::v3::{Request, Response};
use serde::Deserialize;

use crate::edge::{App, Arguments, Failure, Session};

/// Moves the marker up to which everything is read, and receipts with it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
    arguments: Arguments,
) -> Result<Response, Failure> {
    let markers = ReadMarkers {
        user_id: caller.known.user_id,
        room_id: request.room_id,
        fully_read: request.fully_read,
        backward: allows_backward(&arguments)?,
        read: request.read_receipt,
        read_private: request.private_read_receipt,
    };
    app.house.set_read_markers(markers).await?;
    Ok(Response::new())
}

/// Whether the marker may go back (MSC4446).
pub(crate) fn allows_backward(arguments: &Arguments) -> Result<bool, Failure> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default, rename = "com.beeper.allow_backward")]
        allow: Option<serde_json::Value>,
    }
    if arguments.body.is_empty() {
        return Ok(false);
    }
    let body: Body = serde_json::from_slice(&arguments.body)?;
    match body.allow {
        None | Some(serde_json::Value::Bool(false)) => Ok(false),
        Some(serde_json::Value::Bool(true)) => Ok(true),
        Some(_) => Err(Failure::invalid_param(
            "com.beeper.allow_backward is true or false",
        )),
    }
}

//! `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Brought, take_in};
use crate::{
    client::page::Object,
    edge::{App, Arguments, Failure, Peer, RawJson},
};

#[derive(Deserialize)]
struct Body {
    room_version: String,
    event: Box<RawValue>,
    #[serde(default)]
    invite_room_state: Vec<Box<RawValue>>,
}

/// Takes in an invite, and answers it with this server's signature.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = serde_json::from_slice(&arguments.body)
        .map_err(|error| Failure::bad_json(error.to_string()))?;
    let brought = Brought {
        version: body.room_version,
        event: body.event,
        state: body.invite_room_state,
    };
    let signed = take_in(&app, &peer, (&arguments, brought)).await?;
    Ok(Object::new().raw("event", signed.get().as_bytes()).finish())
}

//! `PUT /_matrix/federation/v1/invite/{roomId}/{eventId}`

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Brought, take_in};
use crate::{
    client::page::{Object, list},
    edge::{App, Arguments, Failure, Peer, RawJson},
};

#[derive(Default, Deserialize)]
struct Unsigned {
    #[serde(default)]
    invite_room_state: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    unsigned: Unsigned,
}

/// The same for rooms of the first two versions, whose events are alike; the status stands before the answer.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let bad = |error: serde_json::Error| Failure::bad_json(error.to_string());
    let event: Box<RawValue> = serde_json::from_slice(&arguments.body).map_err(bad)?;
    let told: Event = serde_json::from_str(event.get()).map_err(bad)?;
    let brought = Brought {
        version: "1".to_owned(),
        event,
        state: told.unsigned.invite_room_state,
    };
    let signed = take_in(&app, &peer, (&arguments, brought)).await?;
    let answer = Object::new().raw("event", signed.get().as_bytes()).finish();
    Ok(list(&[Bytes::from_static(b"200"), answer.0]))
}

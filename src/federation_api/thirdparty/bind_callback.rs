//! `PUT /_matrix/federation/v1/3pid/onbind`, as identity servers know it also by `POST`.

use std::sync::Arc;

use playhouse_actors::house::{BoundInvite, HouseError};
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{auth_scheme::NoAuthentication, error::ErrorCode, request, response},
    metadata,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::page::Object,
    edge::{App, Arguments, Failure, RawJson},
};

/// Nobody waits for so many invites: who tells more is no identity server.
const INVITES_MAX: usize = 100;

metadata! {
    method: POST,
    rate_limited: false,
    authentication: NoAuthentication,
    path: "/_matrix/federation/v1/3pid/onbind",
}

/// The same by another method.
#[request]
pub(crate) struct Request {}

/// Nothing.
#[response]
pub(crate) struct Response {}

#[derive(Deserialize)]
struct Bound {
    mxid: OwnedUserId,
    invites: Vec<Invite>,
}

#[derive(Deserialize)]
struct Invite {
    mxid: OwnedUserId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    signed: Value,
}

/// Carries on what an address was invited to. Nobody need prove to be an identity server: what that has signed proves itself.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let bound: Bound = serde_json::from_slice(&arguments.body)?;
    if bound.invites.len() > INVITES_MAX {
        return Err(Failure::invalid_param("too many invites"));
    }
    let invites = bound.invites.into_iter().map(|invite| BoundInvite {
        room_id: invite.room_id,
        sender: invite.sender,
        target: invite.mxid,
        signed: invite.signed,
    });
    match app
        .house
        .address_bound(&bound.mxid, invites.collect())
        .await
    {
        Ok(()) => Ok(Object::new().finish()),
        Err(HouseError::Unreachable(server)) => Err(Failure::new(
            ErrorCode::ConnectionFailed,
            format!("server {server} cannot be reached"),
        )),
        Err(error) => Err(error.into()),
    }
}

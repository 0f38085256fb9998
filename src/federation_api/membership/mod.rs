//! Servers that bring their users into rooms that are here, and out of them again.

mod create_join_event;
mod create_join_event_v1;
mod create_knock_event;
mod create_leave_event;
mod create_leave_event_v1;
mod prepare_join_event;
mod prepare_knock_event;
mod prepare_leave_event;

use bytes::Bytes;
use playhouse_actors::{
    house::{HandedPdu, HandshakeError, HouseError, TemplateAsked},
    room::{
        RoomError,
        peer::{Handed, Handshake},
    },
};
use ruma::api::{
    error::ErrorCode,
    federation::membership::{
        create_join_event::v2::Request as SendJoin, create_knock_event::v1::Request as SendKnock,
        prepare_join_event::v1::Request as MakeJoin, prepare_knock_event::v1::Request as MakeKnock,
        prepare_leave_event::v1::Request as MakeLeave,
    },
};

use crate::{
    client::page::{Object, list},
    edge::{App, Failure, Peer, RawJson, Routes},
};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_raw::<MakeJoin, _, _, _>(prepare_join_event::handle);
    routes.mount_peer_raw::<MakeKnock, _, _, _>(prepare_knock_event::handle);
    routes.mount_peer_raw::<MakeLeave, _, _, _>(prepare_leave_event::handle);
    routes.mount_peer_raw::<SendJoin, _, _, _>(create_join_event::handle);
    routes.mount_peer_raw::<SendKnock, _, _, _>(create_knock_event::handle);
    routes.mount_peer(create_leave_event::handle);
    routes.mount_peer_raw::<create_join_event_v1::Request, _, _, _>(create_join_event_v1::handle);
    routes.mount_peer_raw::<create_leave_event_v1::Request, _, _, _>(create_leave_event_v1::handle);
}

/// Answers an event for the server to finish.
async fn template(
    app: &App,
    peer: &Peer,
    handshake: Handshake,
    asked: TemplateAsked,
) -> Result<RawJson, Failure> {
    let made = app
        .house
        .template_for_peer(&peer.origin, handshake, asked)
        .await
        .map_err(refused)?;
    Ok(Object::new()
        .raw("event", &made.event)
        .text("room_version", made.version.as_str())
        .finish())
}

/// Hands an event to its room.
async fn hand_over(
    app: &App,
    peer: &Peer,
    handshake: Handshake,
    handed: HandedPdu<'_>,
) -> Result<Handed, Failure> {
    let taken = app.house.take_handed(&peer.origin, handshake, handed);
    taken.await.map_err(refused)
}

/// The answer to a join.
fn joined(told: &Handed) -> Result<RawJson, Failure> {
    let mut answer = Object::new()
        .array("auth_chain", &told.auth_chain)
        .raw("event", &told.event)
        .array("state", &told.state);
    if told.members_omitted {
        let servers = serde_json::to_vec(&told.servers).map_err(Failure::internal)?;
        answer = answer
            .raw("members_omitted", b"true")
            .raw("servers_in_room", &servers);
    }
    Ok(answer.finish())
}

/// In the first version of these endpoints the status stands before the answer.
fn with_status(answer: &RawJson) -> RawJson {
    list(&[Bytes::from_static(b"200"), answer.0.clone()])
}

/// What handshakes are refused with.
pub(in crate::federation_api) fn refused(error: HandshakeError) -> Failure {
    match error {
        HandshakeError::IncompatibleVersion(version) => Failure::new(
            ErrorCode::IncompatibleRoomVersion,
            "your server does not support the version of this room",
        )
        .with("room_version", version.as_str()),
        HandshakeError::UnableToAuthorise => Failure::new(
            ErrorCode::UnableToAuthorizeJoin,
            "this server cannot tell whether the user may join",
        ),
        HandshakeError::Invalid(reason) => Failure::invalid_param(reason),
        // Between servers the status of this code is another one than towards clients.
        HandshakeError::House(HouseError::Room(RoomError::UnableToGrantJoin(reason))) => {
            Failure::new(ErrorCode::UnableToGrantJoin, reason).with_status(400)
        }
        HandshakeError::House(error) => error.into(),
    }
}

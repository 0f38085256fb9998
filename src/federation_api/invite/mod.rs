//! Invites of users of this server.

mod create_invite;
mod create_invite_v1;

use playhouse_actors::house::IncomingInvite;
use ruma::{
    EventId, RoomId,
    api::{error::ErrorCode, federation::membership::create_invite as api},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    edge::{App, Arguments, Failure, Peer, Routes},
    third_party::Check,
};

/// So many events are told of the room at most.
const STATE_EVENTS_MAX: usize = 100;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_fast::<api::v2::Request, _, _, _>(create_invite::handle);
    routes.mount_peer_fast::<api::v1::Request, _, _, _>(create_invite_v1::handle);
}

/// An invite as the body of a request has it.
struct Brought {
    version: String,
    event: Box<RawValue>,
    state: Vec<Box<RawValue>>,
}

/// Who invites whom.
#[derive(Deserialize)]
struct Told {
    sender: String,
    state_key: String,
}

/// Has the invite recorded and signed.
async fn take_in(
    app: &App,
    peer: &Peer,
    (arguments, brought): (&Arguments, Brought),
) -> Result<Box<RawValue>, Failure> {
    let [room_id, event_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("an invite's path has two variables"));
    };
    if brought.state.len() > STATE_EVENTS_MAX {
        return Err(Failure::invalid_param(
            "this is more than a room is told by",
        ));
    }
    let known = ruma::RoomVersionId::try_from(brought.version.as_str());
    let Some(version) = known.ok().filter(|version| version.rules().is_some()) else {
        let code = ErrorCode::IncompatibleRoomVersion;
        return Err(
            Failure::new(code, "rooms of this version are not known here")
                .with_status(400)
                .with("room_version", brought.version),
        );
    };
    let invite = IncomingInvite {
        room_id: RoomId::parse(room_id.as_str())
            .map_err(|error| Failure::invalid_param(error.to_string()))?,
        event_id: EventId::parse(event_id.as_str())
            .map_err(|error| Failure::invalid_param(error.to_string()))?,
        version,
        event: brought.event,
        state: brought.state,
    };
    let told: Told = serde_json::from_str(invite.event.get())
        .map_err(|error| Failure::bad_json(error.to_string()))?;
    app.third_party
        .spam_check
        .ask(Check::ReceiveInvite, || {
            json!({"user_id": told.sender, "room_id": invite.room_id, "invited": told.state_key})
        })
        .await?;
    Ok(app.house.receive_invite(&peer.origin, invite).await?)
}

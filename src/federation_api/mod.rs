//! The server-server API: one folder per area, one file per endpoint.
//!
//! An endpoint turns a request of another server into a message for an actor and its answer into a response; it decides nothing.

mod authorization;
mod backfill;
mod device;
mod directory;
mod discovery;
mod event;
mod invite;
mod key;
mod keys;
mod media;
mod membership;
mod openid;
mod policy;
mod query;
mod room;
mod space;
mod thirdparty;
mod transaction;

use bytes::Bytes;
use playhouse_actors::room::peer::{PeerAnswer, PeerQuestion};
use ruma::RoomId;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson, Routes},
};

/// Mounts all of it.
pub(crate) fn mount(routes: &mut Routes) {
    authorization::mount(routes);
    backfill::mount(routes);
    device::mount(routes);
    directory::mount(routes);
    discovery::mount(routes);
    event::mount(routes);
    invite::mount(routes);
    key::mount(routes);
    keys::mount(routes);
    media::mount(routes);
    membership::mount(routes);
    openid::mount(routes);
    policy::mount(routes);
    query::mount(routes);
    room::mount(routes);
    space::mount(routes);
    thirdparty::mount(routes);
    transaction::mount(routes);
}

/// Asks a room for another server.
async fn ask_room(
    app: &App,
    peer: &Peer,
    (room_id, question): (&RoomId, PeerQuestion),
) -> Result<PeerAnswer, Failure> {
    let answer = app.house.room_for_peer(&peer.origin, room_id, question);
    Ok(answer.await?)
}

/// Events that a room tells another server.
async fn events_of(
    app: &App,
    peer: &Peer,
    asked: (&RoomId, PeerQuestion),
) -> Result<Vec<Bytes>, Failure> {
    match ask_room(app, peer, asked).await? {
        PeerAnswer::Events(events) => Ok(events),
        _ => Err(Failure::internal(
            "unexpected answer to a server's question",
        )),
    }
}

/// Events in the form of a transaction.
fn transaction(app: &App, events: &[Bytes]) -> RawJson {
    Object::new()
        .text("origin", app.env().server_name().as_str())
        .raw(
            "origin_server_ts",
            app.env().now_ms().to_string().as_bytes(),
        )
        .array("pdus", events)
        .finish()
}

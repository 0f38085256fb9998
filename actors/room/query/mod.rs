//! Reading a room.

use crate::{
    kernel::{Port, Resident},
    room::{Room, RoomAnswer, RoomError, RoomQuery, RoomSignal},
};

/// Answers a query.
pub(crate) fn answer(
    _resident: &mut Resident<Room>,
    _query: RoomQuery,
    port: Port<RoomAnswer, RoomError>,
) {
    let _ = port.send(Err(RoomError::NotFound));
}

/// Takes in a signal.
pub(crate) fn signal(_resident: &mut Resident<Room>, _signal: RoomSignal) {}

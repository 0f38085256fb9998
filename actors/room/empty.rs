//! Deleting a room: nothing of what was recorded counts any more, and what stood there is replaced.

use playhouse_schema::{
    address::Sequence,
    record::{
        codec::Record as _,
        room::{Gone, RoomEmptied, RoomRecord},
    },
};

use super::{Room, RoomReply};
use crate::kernel::Decision;

/// Judges [`super::RoomCommand::Empty`]. A room without records stays without.
pub(super) fn decide(room: &Room, at_ms: u64) -> Decision<Room> {
    if room.sequence == 0 {
        return Decision::unchanged(RoomReply::Done);
    }
    let record = RoomRecord::Emptied(RoomEmptied { at_ms });
    Decision::new(vec![record], RoomReply::Done)
}

/// Judges [`super::RoomCommand::Clear`].
pub(super) fn clear(sequences: Vec<Sequence>) -> Decision<Room> {
    let gone = RoomRecord::Gone(Gone {}).encode();
    let erasures = sequences.into_iter();
    Decision {
        erasures: erasures.map(|sequence| (sequence, gone.clone())).collect(),
        ..Decision::unchanged(RoomReply::Done)
    }
}

impl Room {
    /// Forgets everything but how far it was recorded, and what the commits in flight are to tell.
    pub(super) fn empty_out(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        *self = Self {
            sequence: self.sequence,
            in_flight,
            replaced: self.replaced + 1,
            ..Self::nothing(self.room_id.clone())
        };
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_room_id;

    use super::*;

    #[test]
    fn nothing_is_left_but_the_number() {
        let mut room = Room::nothing(owned_room_id!("!r:b"));
        assert!(decide(&room, 7).records.is_empty());
        room.sequence = 6;
        room.public = true;
        let decision = decide(&room, 7);
        let [record] = decision.records.as_slice() else {
            panic!("one record");
        };
        room.take_in(7, 0, record);
        assert!(room.sequence == 7 && !room.public && !room.exists());
        let cleared = clear(vec![3, 4]);
        assert_eq!(cleared.erasures.len(), 2);
        let (sequence, payload) = &cleared.erasures[0];
        assert_eq!(*sequence, 3);
        let read: RoomRecord = rmp_serde::from_slice(payload).expect("a record");
        assert_eq!(read, RoomRecord::Gone(Gone {}));
    }
}

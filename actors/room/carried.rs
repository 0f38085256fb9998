//! Events on their way to another node: as the records that they are. The one that receives them reads them as it would read its log.

use playhouse_schema::{
    address::{Position, Sequence},
    record::room::EventRecord,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::event::RoomEvent;

/// For `serde(with = …)`: a record of an event with its key, which by itself it leaves to the log.
pub(super) mod keyed {
    use super::{Deserialize, Deserializer, EventRecord, Serialize, Serializer};

    pub(in crate::room) fn serialize<S: Serializer>(
        record: &EventRecord,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (&record.event_id, record).serialize(serializer)
    }

    pub(in crate::room) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<EventRecord, D::Error> {
        let (event_id, mut record) = <(String, EventRecord)>::deserialize(deserializer)?;
        record.event_id = event_id;
        Ok(record)
    }
}

/// An event and its place in the log.
#[derive(Serialize, Deserialize)]
struct Carried {
    sequence: Sequence,
    position: Position,
    recorded_ms: u64,
    #[serde(with = "keyed")]
    record: EventRecord,
}

impl Serialize for RoomEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let carried = Carried {
            sequence: self.sequence,
            position: self.position(),
            recorded_ms: self.recorded_ms(),
            record: self.to_record(self.pdu.json().to_vec()),
        };
        carried.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RoomEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let carried = Carried::deserialize(deserializer)?;
        let event = Self::from_record(carried.sequence, carried.position, &carried.record)
            .ok_or_else(|| D::Error::custom("an event that is no PDU"))?;
        event.note_recorded(carried.recorded_ms);
        Ok(event)
    }
}

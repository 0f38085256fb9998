//! What a redaction that is taken in does to its target.

use playhouse_schema::record::room::RoomRecord;
use ruma::events::TimelineEventType;

use super::{PROVISIONAL, weigh::Weighing};
use crate::room::{RoomError, pdu::Pdu, redact};

impl Weighing {
    /// An accepted redaction takes out the content of its target.
    pub(super) async fn redact(&mut self, pdu: &Pdu) -> Result<(), RoomError> {
        if pdu.event_type != TimelineEventType::RoomRedaction {
            return Ok(());
        }
        let Some(event_id) = &pdu.redacts else {
            return Ok(());
        };
        let Some(target) = self.find(event_id).await? else {
            return Ok(());
        };
        let Some((sequence, payload)) = redact::erasure(&self.room, pdu, &target) else {
            return Ok(());
        };
        if sequence < PROVISIONAL {
            self.erasures.push((sequence, payload));
            return Ok(());
        }
        // It came with this very list, and is recorded redacted.
        let index = (sequence - PROVISIONAL) as usize;
        if let Some(RoomRecord::Event(record)) = self.records.get_mut(index)
            && let Ok(RoomRecord::Event(pruned)) = rmp_serde::from_slice(&payload)
        {
            record.pdu = pruned.pdu;
        }
        Ok(())
    }
}

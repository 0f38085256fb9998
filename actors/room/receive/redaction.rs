//! What redactions do when they, or their targets, are taken in (room version 3, "Handling redactions").

use std::sync::Arc;

use bytes::Bytes;
use playhouse_schema::record::{
    codec::Record as _,
    room::{EventRecord, Placement, RoomRecord, StateId, Verdict},
};
use ruma::OwnedEventId;

use super::{PROVISIONAL, weigh::Weighing};
use crate::room::{RoomError, event::RoomEvent, pdu::Pdu, redact};

impl Weighing {
    /// The part of redactions in an event that is to be recorded: a redaction takes out the content of its target, or waits for it; what was redacted before it
    /// came is recorded without its content.
    pub(super) async fn mind_redactions(
        &mut self,
        pdu: Pdu,
        (placement, before): (Placement, StateId),
        mut verdict: Verdict,
    ) -> Result<(Pdu, Verdict), RoomError> {
        if verdict == Verdict::Accepted
            && placement != Placement::Outlier
            && let Some(target) = redact::target_of(&self.rules, &pdu)
        {
            verdict = self.redact(&pdu, before, &target).await?;
        }
        let pdu = self.as_redacted(pdu, &verdict).await?;
        Ok((pdu, verdict))
    }

    /// A redaction that has passed all checks has its effect; the verdict on it.
    async fn redact(
        &mut self,
        pdu: &Pdu,
        before: StateId,
        target: &OwnedEventId,
    ) -> Result<Verdict, RoomError> {
        // What is in force is shown as state, whatever it is: it cannot be hidden.
        let unless_state = |verdict| match pdu.is_state() {
            true => Verdict::Accepted,
            false => verdict,
        };
        // An event that was rejected is no partner: it is waited for as if it had not come.
        let target = self.find(target).await?;
        let target = target.filter(|target| !matches!(target.verdict, Verdict::Rejected(_)));
        let Some(target) = target else {
            return Ok(unless_state(Verdict::Held));
        };
        if !self.may_redact(pdu, before, &target.pdu).await? {
            return Ok(unless_state(Verdict::Powerless));
        }
        let rules = self.rules.clone();
        self.rewrite(&target, |record| {
            let json = Bytes::copy_from_slice(&record.pdu);
            let recorded = Pdu::parse(target.pdu.event_id.clone(), json).ok();
            let pruned = recorded.and_then(|recorded| redact::pruned(&rules, pdu, &recorded));
            if let Some(pruned) = &pruned {
                record.pdu = pruned.json().to_vec().into();
            }
            pruned.is_some()
        });
        Ok(Verdict::Accepted)
    }

    /// An event as it is to be recorded.
    async fn as_redacted(&mut self, mut pdu: Pdu, verdict: &Verdict) -> Result<Pdu, RoomError> {
        // It was redacted while it was only part of a state or of an auth chain.
        let known = self.found.get(&pdu.event_id);
        if let Some(known) = known.filter(|known| known.redacted_because().is_some()) {
            return Ok(known.pdu.clone());
        }
        if matches!(verdict, Verdict::Rejected(_)) {
            return Ok(pdu);
        }
        for event_id in self.room.early.of(&pdu.event_id) {
            let Some(redaction) = self.find(&event_id).await? else {
                continue;
            };
            let by = &redaction.pdu;
            if !self.may_redact(by, redaction.before, &pdu).await? {
                continue;
            }
            self.rewrite(&redaction, |record| {
                record.verdict = Verdict::Accepted;
                true
            });
            if let Some(pruned) = redact::pruned(&self.rules, by, &pdu) {
                pdu = pruned;
            }
        }
        Ok(pdu)
    }

    /// Whether a redaction takes effect on an event, by the state before the redaction.
    async fn may_redact(
        &mut self,
        redaction: &Pdu,
        before: StateId,
        target: &Pdu,
    ) -> Result<bool, RoomError> {
        if redact::needs_no_power(&self.rules, redaction, target) {
            return Ok(true);
        }
        let state = self.state(before).await?;
        Ok(redact::has_power(&self.rules, &state, redaction))
    }

    /// Changes the record of an event, if `change` finds anything to change.
    fn rewrite(&mut self, event: &RoomEvent, change: impl FnOnce(&mut EventRecord) -> bool) {
        let sequence = event.sequence;
        let mut record = self.record_of(event);
        if !change(&mut record) {
            return;
        }
        record.event_id = event.pdu.event_id.to_string();
        if let Some(changed) = RoomEvent::from_record(sequence, event.position(), &record) {
            let event_id = event.pdu.event_id.clone();
            self.found.insert(event_id, Arc::new(changed));
        }
        let record = RoomRecord::Event(record);
        if sequence >= PROVISIONAL {
            // It came with this very list, and is recorded so.
            let index = (sequence - PROVISIONAL) as usize;
            if let Some(recorded) = self.records.get_mut(index) {
                *recorded = record;
            }
            return;
        }
        let payload = record.encode();
        let mut erasures = self.erasures.iter_mut();
        match erasures.find(|(earlier, _)| *earlier == sequence) {
            Some(erasure) => erasure.1 = payload,
            None => self.erasures.push((sequence, payload)),
        }
    }

    /// The record of an event, as what was weighed before has left it.
    fn record_of(&self, event: &RoomEvent) -> EventRecord {
        let sequence = event.sequence;
        let recorded = match sequence.checked_sub(PROVISIONAL) {
            Some(index) => self.records.get(index as usize).cloned(),
            None => {
                let mut erasures = self.erasures.iter();
                let erasure = erasures.find(|(earlier, _)| *earlier == sequence);
                erasure.and_then(|(_, payload)| rmp_serde::from_slice(payload).ok())
            }
        };
        match recorded {
            Some(RoomRecord::Event(record)) => record,
            _ => event.to_record(event.pdu.json().to_vec()),
        }
    }
}

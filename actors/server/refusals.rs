//! A transaction that its destination refuses again and again for what is in it.
//!
//! One thing that it cannot take must not keep all that comes after it from it for ever. So a transaction that was refused often enough goes out in halves,
//! as one that is too large does, and what is refused alone is parked. A server that refuses everything is no such case: whether it takes
//! transactions at all is found out with an empty one first.

use playhouse_schema::{
    address::Entity, models::parked::Parked, port::StoredRecord, record::server::Departed,
};

use super::{
    OUTBOXES,
    delivery::{Delivery, Halt},
};
use crate::network::PeerError;

/// So many equal refusals of one transaction, spaced as attempts at who fails are, are no passing trouble of the destination's.
const REFUSALS_MAX: u32 = 5;

/// What parks. Another version tries again.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// How often the transaction on its way was refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    transaction_id: String,
    /// Status and error code of the last refusal.
    answer: (u16, String),
    /// So often in a row.
    count: u32,
}

impl Refusals {
    /// A transaction was not taken. What is no refusal of its content says nothing, and takes nothing back.
    pub(super) fn note(&mut self, transaction_id: &str, error: &PeerError) {
        let Some((status, errcode)) = refusal(error) else {
            return;
        };
        let is_known = self.transaction_id == transaction_id;
        if is_known && self.answer.0 == status && self.answer.1 == errcode {
            self.count = self.count.saturating_add(1);
            return;
        }
        *self = Self {
            transaction_id: transaction_id.to_owned(),
            answer: (status, errcode.to_owned()),
            count: 1,
        };
    }

    /// Whether this transaction was refused so often that it will be for ever.
    pub(super) fn are_lasting(&self, transaction_id: &str) -> bool {
        self.count >= REFUSALS_MAX && self.transaction_id == transaction_id
    }
}

/// Status and error code of a refusal of what is in a transaction. A proxy's error page has no error code, and is none.
pub(super) fn refusal(error: &PeerError) -> Option<(u16, &str)> {
    match error {
        PeerError::Refused {
            status: status @ (400 | 422),
            errcode,
            ..
        } if !errcode.is_empty() => Some((*status, errcode.as_str())),
        _ => None,
    }
}

/// A transaction with nothing in it, beside another one.
pub(super) fn emptied(departed: &Departed) -> Departed {
    Departed {
        transaction_id: format!("{}e", departed.transaction_id),
        at_ms: departed.at_ms,
        ..Departed::default()
    }
}

impl Delivery {
    /// Parks the single thing that the destination does not take: an administrator sees why, and can have it sent again. What lies in no log, such as a
    /// receipt, is only told of.
    pub(super) async fn park(
        &self,
        (part, bytes): (&Departed, usize),
        error: &PeerError,
    ) -> Result<(), Halt> {
        tracing::warn!(
            destination = %self.name, %error, bytes, events = ?part.events, to_device = ?part.to_device,
            "not taken by the destination, and not sent"
        );
        let store = &self.context.store;
        let mut records: Vec<StoredRecord> = Vec::new();
        for run in &part.events {
            let entity = Entity::room(&run.room_id);
            records.extend(store.read_some(&entity, &run.sequences).await?);
        }
        for sending in &part.to_device {
            let entity = Entity::user(&sending.user_id);
            records.extend(store.read_some(&entity, &[sending.sequence]).await?);
        }
        let why = format!("{} {error}", self.name);
        let mut statements = Vec::with_capacity(records.len());
        for record in &records {
            metrics::counter!("playhouse_parked_total", "reader" => OUTBOXES).increment(1);
            metrics::gauge!("playhouse_parked_records", "reader" => OUTBOXES).increment(1.0);
            statements.push(Parked::new(OUTBOXES, record, PROGRAM, &why).park());
        }
        if statements.is_empty() {
            return Ok(());
        }
        store.models().apply(statements, Vec::new()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, errcode: &str) -> PeerError {
        PeerError::Refused {
            status,
            errcode: errcode.to_owned(),
            error: String::new(),
        }
    }

    #[test]
    fn equal_refusals_of_one_transaction_are_counted() {
        let mut refusals = Refusals::default();
        for _ in 1..REFUSALS_MAX {
            refusals.note("a", &refused(400, "M_UNKNOWN"));
            // That it cannot be reached meanwhile changes nothing.
            refusals.note("a", &PeerError::TooSlow);
        }
        assert!(!refusals.are_lasting("a"));
        refusals.note("a", &refused(400, "M_UNKNOWN"));
        assert!(refusals.are_lasting("a") && !refusals.are_lasting("b"));
        refusals.note("a", &refused(422, "M_UNKNOWN"));
        assert!(!refusals.are_lasting("a"));
    }

    #[test]
    fn a_proxy_refuses_nothing() {
        let mut refusals = Refusals::default();
        for _ in 0..10 {
            for error in [
                refused(400, ""),
                refused(403, "M_FORBIDDEN"),
                refused(502, "M_UNKNOWN"),
                PeerError::TooSlow,
            ] {
                refusals.note("a", &error);
            }
        }
        assert!(!refusals.are_lasting("a"));
    }
}

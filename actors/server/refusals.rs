//! A transaction that its destination refuses again and again for what is in it.
//!
//! One thing that it cannot take must not keep all that comes after it from it for ever. So a transaction that was refused often enough and for long enough
//! goes out in halves, as one that is too large does, and what is refused alone is given up: nobody else is concerned, and nothing here will
//! ever make that server take it. A server that refuses everything is no such case: whether it takes transactions at all is found out with an empty one first.

use playhouse_schema::record::server::Departed;

use super::delivery::Delivery;
use crate::network::PeerError;

/// So many equal refusals of one transaction are no chance.
const REFUSALS_MIN: u32 = 5;

/// How often the transaction on its way was refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    transaction_id: String,
    /// Status and error code of the last refusal.
    answer: (u16, String),
    /// So often in a row.
    count: u32,
    /// Since when, milliseconds since the Unix epoch.
    since_ms: u64,
}

impl Refusals {
    /// A transaction was not taken. What is no refusal of its content says nothing, and takes nothing back.
    pub(super) fn note(&mut self, (transaction_id, now_ms): (&str, u64), error: &PeerError) {
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
            since_ms: now_ms,
        };
    }

    /// Whether this transaction was refused so often, and for so long, milliseconds, that it will be for ever: a server in trouble, or one that is being
    /// upgraded, refuses what it takes later.
    pub(super) fn are_lasting(
        &self,
        (transaction_id, now_ms): (&str, u64),
        refused_for_ms: u64,
    ) -> bool {
        self.count >= REFUSALS_MIN
            && self.transaction_id == transaction_id
            && now_ms.saturating_sub(self.since_ms) >= refused_for_ms
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
    /// Gives up the single thing that the destination does not take: an administrator reads what and why.
    pub(super) fn give_up(&self, (part, bytes): (&Departed, usize), error: &PeerError) {
        metrics::counter!("playhouse_outbox_refused_total").increment(1);
        tracing::warn!(
            destination = %self.name, %error, bytes, events = ?part.events, to_device = ?part.to_device,
            "not taken by the destination, and not sent"
        );
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
        for now_ms in 1..u64::from(REFUSALS_MIN) {
            refusals.note(("a", now_ms), &refused(400, "M_UNKNOWN"));
            // That it cannot be reached meanwhile changes nothing.
            refusals.note(("a", now_ms), &PeerError::TooSlow);
        }
        assert!(!refusals.are_lasting(("a", 2_000), 1_000));
        refusals.note(("a", 999), &refused(400, "M_UNKNOWN"));
        assert!(
            !refusals.are_lasting(("a", 1_000), 1_000),
            "often, but not for long"
        );
        assert!(refusals.are_lasting(("a", 1_001), 1_000));
        assert!(!refusals.are_lasting(("b", 1_001), 1_000));
        refusals.note(("a", 1_001), &refused(422, "M_UNKNOWN"));
        assert!(!refusals.are_lasting(("a", 9_000), 1_000));
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
                refusals.note(("a", 0), &error);
            }
        }
        assert!(!refusals.are_lasting(("a", 1), 0));
    }
}

//! What a policy server has to say of an event that the rules allow (server-server API, "Validating Policy Server signatures").

use playhouse_schema::record::room::{Transaction, Verdict};
use ruma::OwnedEventId;

use super::{Fate, Role, weigh::Weighing};
use crate::room::{pdu::Pdu, sticky};

/// What an event that follows on known ones brings besides itself.
#[derive(Default)]
pub(super) struct Word {
    /// It follows on known events, and is new.
    is_next: bool,
    /// Why the policy server does not recommend it.
    refusal: Option<String>,
    /// A local user's: the client's transaction.
    own: Option<Option<Transaction>>,
}

impl Word {
    pub(super) fn of(role: &Role) -> Self {
        let mut word = Self {
            is_next: matches!(role, Role::Next | Role::NotRecommended(_) | Role::Own(_)),
            ..Self::default()
        };
        match role {
            Role::NotRecommended(reason) => word.refusal = Some(reason.clone()),
            Role::Own(transaction) => word.own = Some(transaction.clone()),
            _ => {}
        }
        word
    }

    /// The client's transaction.
    pub(super) fn transaction(self) -> Option<Transaction> {
        self.own.flatten()
    }
}

impl Weighing {
    /// The event that the same transaction has brought before.
    pub(super) fn repeated(&self, word: &Word) -> Option<OwnedEventId> {
        let transaction = word.own.as_ref()?.as_ref()?;
        let known = self.room.transactions.event_of(transaction);
        known.map(ToOwned::to_owned)
    }

    /// The verdict on an event that the rules have been asked about; or what becomes of it instead, without being recorded.
    pub(super) fn with_recommendation(
        &self,
        pdu: &Pdu,
        word: &Word,
        verdict: Verdict,
    ) -> Result<Verdict, Fate> {
        let verdict = match (verdict, &word.refusal) {
            (Verdict::Accepted, Some(reason)) => Verdict::SoftFailed(sticky::refused(reason)),
            (verdict, _) => verdict,
        };
        if word.is_next
            && verdict == Verdict::Accepted
            && let Some(policy) = self.room.policy_server()
            && !policy.recommends(pdu, &self.rules)
        {
            return Err(Fate::Unrecommended(policy));
        }
        match verdict {
            // A local user is told so instead, and may try again.
            Verdict::Rejected(reason) | Verdict::SoftFailed(reason) if word.own.is_some() => {
                Err(Fate::Rejected(reason))
            }
            verdict => Ok(verdict),
        }
    }
}

//! What a third-party identifier owns, and how it changes.

use std::collections::{BTreeMap, BTreeSet};

use playhouse_schema::{
    address::Sequence,
    record::threepid::{self as record, Binding, Claim, ThreepidRecord},
};
use ruma::{OwnedUserId, UserId};

use super::{
    address::Address,
    message::{ThreepidAnswer, ThreepidQuery, Validation},
};

/// A third-party identifier: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threepid {
    pub(super) claim: Option<(Sequence, Claim)>,
    /// By the session's name.
    pub(super) open: BTreeMap<String, Open>,
    pub(super) bound: BTreeSet<Binding>,
}

/// A session in which the address is validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Where its newest record stands.
    pub(super) sequence: Sequence,
    pub(super) validation: record::Validation,
    pub(super) validated_ms: Option<u64>,
    /// The token, or what it proved, is good until then.
    pub(super) until_ms: u64,
}

impl Open {
    /// What it has proven, for who knows the secret.
    pub(super) fn proven(&self, secret: &str, purpose: &str, now_ms: u64) -> Option<Validation> {
        let validation = &self.validation;
        let fits =
            now_ms < self.until_ms && validation.secret == secret && validation.purpose == purpose;
        Some(Validation {
            validated_ms: self.validated_ms.filter(|_| fits)?,
            address: Address::new(&validation.medium, &validation.address)?,
        })
    }
}

impl Threepid {
    /// Whose it is, and since when.
    pub(super) fn owner(&self) -> Option<(OwnedUserId, u64)> {
        let (_, claim) = self.claim.as_ref()?;
        Some((UserId::parse(&claim.user_id).ok()?, claim.added_ms))
    }

    pub(super) fn sessions(&self) -> usize {
        self.open.len()
    }

    /// Answers a query.
    pub(super) fn answer(&self, query: &ThreepidQuery, now_ms: u64) -> ThreepidAnswer {
        match query {
            ThreepidQuery::Owner => ThreepidAnswer::Owner(self.owner()),
            ThreepidQuery::IsToSend { session, attempt } => {
                let open = self.open.get(session);
                let sent = open.filter(|open| now_ms < open.until_ms);
                let sent = sent.is_some_and(|open| open.validation.attempt >= *attempt);
                ThreepidAnswer::Yes(!sent)
            }
            ThreepidQuery::Proven {
                session,
                secret,
                purpose,
            } => {
                let open = self.open.get(session);
                let proven = open.and_then(|open| open.proven(secret, purpose, now_ms));
                ThreepidAnswer::Proven(proven)
            }
        }
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, sequence: Sequence, record: &ThreepidRecord) {
        match record {
            ThreepidRecord::ValidationBegun(validation) => {
                let now_ms = validation.at_ms;
                self.open.retain(|_, open| now_ms < open.until_ms);
                let before = self.open.get(&validation.session);
                let validated_ms = before.and_then(|open| open.validated_ms);
                let until_ms = before.map_or(0, |open| open.until_ms);
                let open = Open {
                    sequence,
                    validation: validation.clone(),
                    validated_ms,
                    until_ms: until_ms.max(validation.until_ms),
                };
                self.open.insert(validation.session.clone(), open);
            }
            ThreepidRecord::Validated(validated) => {
                if let Some(open) = self.open.get_mut(&validated.session) {
                    open.validated_ms = Some(validated.at_ms);
                    open.until_ms = validated.until_ms;
                }
            }
            ThreepidRecord::ValidationUsed(session) => {
                self.open.remove(session);
            }
            ThreepidRecord::Claimed(claim) => self.claim = Some((sequence, claim.clone())),
            ThreepidRecord::Released => self.claim = None,
            ThreepidRecord::Bound(binding) => {
                self.bound.insert(binding.clone());
            }
            ThreepidRecord::Unbound(binding) => {
                self.bound.remove(binding);
            }
        }
    }
}

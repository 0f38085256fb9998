//! What a third-party identifier makes of a command.

use playhouse_schema::{
    address::Sequence,
    record::{
        codec::Record as _,
        threepid::{self as record, Binding, Claim, ThreepidRecord, Validated},
    },
};
use ruma::OwnedUserId;

use super::{
    address::Address,
    message::{ThreepidCommand, ThreepidError, ThreepidReply},
    state::{Open, Threepid},
};
use crate::kernel::Decision;

/// So many sessions may be open for an address.
const SESSIONS_MAX: usize = 16;

/// What was proven can be used for so long.
const PROOF_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;

/// So many identity servers are remembered.
const BINDINGS_MAX: usize = 32;

type Outcome = Result<Decision<Threepid>, ThreepidError>;

pub(super) fn decide(threepid: &Threepid, command: ThreepidCommand, now_ms: u64) -> Outcome {
    match command {
        ThreepidCommand::Begin(validation) => begin(threepid, validation, now_ms),
        ThreepidCommand::Validate {
            session,
            secret,
            token,
        } => validate(threepid, session, (&secret, &token), now_ms),
        ThreepidCommand::Use {
            session,
            secret,
            purpose,
        } => {
            let open = threepid.open.get(&session).ok_or(ThreepidError::Invalid)?;
            let proven = open
                .proven(&secret, &purpose, now_ms)
                .ok_or(ThreepidError::Invalid)?;
            let used = ThreepidRecord::ValidationUsed(session);
            let mut decision = Decision::new(vec![used], ThreepidReply::Used(proven));
            decision.erasures.push(forgotten_validation(open));
            Ok(decision)
        }
        ThreepidCommand::Claim {
            user_id,
            from,
            address,
            validated_ms,
        } => claim(threepid, (user_id, from), (address, validated_ms), now_ms),
        ThreepidCommand::Release { user_id } => release(threepid, &user_id),
        ThreepidCommand::Bind(binding) => Ok(bind(threepid, binding)),
        ThreepidCommand::Unbind(binding) => Ok(if threepid.bound.contains(&binding) {
            done(vec![ThreepidRecord::Unbound(binding)])
        } else {
            done(Vec::new())
        }),
    }
}

fn done(records: Vec<ThreepidRecord>) -> Decision<Threepid> {
    Decision::new(records, ThreepidReply::Done)
}

fn begin(threepid: &Threepid, validation: record::Validation, now_ms: u64) -> Outcome {
    let known = threepid.open.get(&validation.session);
    let fresh = known.filter(|open| now_ms < open.until_ms);
    if fresh.is_some_and(|open| open.validation.attempt >= validation.attempt) {
        return Ok(done(Vec::new()));
    }
    let others = threepid.open.values();
    let others = others
        .filter(|open| now_ms < open.until_ms && open.validation.session != validation.session);
    if others.count() >= SESSIONS_MAX {
        return Err(ThreepidError::Busy);
    }
    let mut decision = done(vec![ThreepidRecord::ValidationBegun(validation)]);
    decision.erasures.extend(known.map(forgotten_validation));
    Ok(decision)
}

fn validate(
    threepid: &Threepid,
    session: String,
    (secret, token): (&str, &str),
    now_ms: u64,
) -> Outcome {
    let open = threepid.open.get(&session).ok_or(ThreepidError::Invalid)?;
    let validation = &open.validation;
    // Digests of secrets: comparing them tells nothing.
    if validation.secret != secret || validation.token != token || now_ms >= open.until_ms {
        return Err(ThreepidError::Invalid);
    }
    let reply = ThreepidReply::Validated(validation.next_link.clone());
    if open.validated_ms.is_some() {
        return Ok(Decision::unchanged(reply));
    }
    let validated = Validated {
        session,
        at_ms: now_ms,
        until_ms: now_ms + PROOF_LIFETIME_MS,
    };
    Ok(Decision::new(
        vec![ThreepidRecord::Validated(validated)],
        reply,
    ))
}

fn claim(
    threepid: &Threepid,
    (user_id, from): (OwnedUserId, Option<OwnedUserId>),
    (address, validated_ms): (Address, u64),
    now_ms: u64,
) -> Outcome {
    if let Some((owner, _)) = threepid.owner() {
        if owner == user_id {
            return Ok(done(Vec::new()));
        }
        if from.as_ref() != Some(&owner) {
            return Err(ThreepidError::Taken(owner));
        }
    }
    let claim = Claim {
        user_id: user_id.into(),
        medium: address.medium.as_str().to_owned(),
        address: address.address,
        validated_ms,
        added_ms: now_ms,
    };
    let mut decision = done(vec![ThreepidRecord::Claimed(claim)]);
    decision.erasures.extend(forgotten_claim(threepid));
    Ok(decision)
}

fn release(threepid: &Threepid, user_id: &OwnedUserId) -> Outcome {
    match threepid.owner() {
        Some((owner, _)) if owner == *user_id => {
            let mut decision = done(vec![ThreepidRecord::Released]);
            decision.erasures.extend(forgotten_claim(threepid));
            Ok(decision)
        }
        _ => Err(ThreepidError::Unknown),
    }
}

fn bind(threepid: &Threepid, binding: Binding) -> Decision<Threepid> {
    if threepid.bound.contains(&binding) || threepid.bound.len() >= BINDINGS_MAX {
        return done(Vec::new());
    }
    done(vec![ThreepidRecord::Bound(binding)])
}

/// The record of the claim, without whose it was and what.
fn forgotten_claim(threepid: &Threepid) -> Option<(Sequence, bytes::Bytes)> {
    let (sequence, claim) = threepid.claim.as_ref()?;
    let empty = ThreepidRecord::Claimed(Claim {
        user_id: String::new(),
        medium: String::new(),
        address: String::new(),
        ..claim.clone()
    });
    Some((*sequence, empty.encode()))
}

/// The record of a session, without the address.
fn forgotten_validation(open: &Open) -> (Sequence, bytes::Bytes) {
    let empty = ThreepidRecord::ValidationBegun(record::Validation {
        medium: String::new(),
        address: String::new(),
        next_link: None,
        ..open.validation.clone()
    });
    (open.sequence, empty.encode())
}

//! What becomes of a command about passes.

use playhouse_schema::record::pass::{PassKind, PassMade, PassRecord, PassUsed};
use ruma::UserId;

use super::{
    message::{PassCommand, PassError, PassReply},
    state::Passes,
};
use crate::{
    env::Env,
    kernel::Decision,
    user::token::{self, TokenHash, TokenKind},
};

/// So long may be what goes with a pass.
const DETAIL_BYTES_MAX: usize = 8 * 1024;

pub(super) fn decide(
    state: &Passes,
    command: PassCommand,
    env: &Env,
) -> Result<Decision<Passes>, PassError> {
    let now_ms = env.now_ms();
    match command {
        PassCommand::Make {
            user_id,
            kind,
            lifetime_ms,
            detail,
        } => make(&user_id, (kind, lifetime_ms), detail, env),
        PassCommand::Use { kind, token } => {
            let pass = state.find(kind, &token, now_ms).ok_or(PassError::Unknown)?;
            if pass.used {
                return Err(PassError::Used);
            }
            let used = used(&TokenHash::of(&token), now_ms);
            Ok(Decision::new(
                vec![used],
                PassReply::Detail(pass.detail.clone()),
            ))
        }
        PassCommand::UseAny(kind) => {
            let hash = state.any(kind, now_ms).ok_or(PassError::Unknown)?;
            let detail = state.passes[hash].detail.clone();
            Ok(Decision::new(
                vec![used(hash, now_ms)],
                PassReply::Detail(detail),
            ))
        }
        PassCommand::End(token) => {
            let hash = TokenHash::of(&token);
            Ok(end(state, |known, _| *known == hash))
        }
        PassCommand::EndAll(kind) => Ok(end(state, |_, of| of == kind)),
    }
}

fn make(
    user_id: &UserId,
    (kind, lifetime_ms): (PassKind, u64),
    detail: String,
    env: &Env,
) -> Result<Decision<Passes>, PassError> {
    if detail.len() > DETAIL_BYTES_MAX {
        return Err(PassError::TooLong);
    }
    let token = token::make(token_kind(kind), user_id, env);
    let at_ms = env.now_ms();
    let made = PassMade {
        kind,
        hash: TokenHash::of(&token).to_record(),
        at_ms,
        until_ms: at_ms.saturating_add(lifetime_ms),
        detail,
    };
    Ok(Decision::new(
        vec![PassRecord::Made(made)],
        PassReply::Made(token),
    ))
}

/// What a pass of a kind looks like. A permission to replace keys is never shown to anybody.
pub(crate) fn token_kind(kind: PassKind) -> TokenKind {
    match kind {
        PassKind::Login | PassKind::CrossSigningReset => TokenKind::Login,
        PassKind::Code => TokenKind::Code,
        PassKind::Browser => TokenKind::Browser,
    }
}

fn used(hash: &TokenHash, at_ms: u64) -> PassRecord {
    PassRecord::Used(PassUsed {
        hash: hash.to_record(),
        at_ms,
    })
}

fn end(state: &Passes, wanted: impl Fn(&TokenHash, PassKind) -> bool) -> Decision<Passes> {
    let ended: Vec<_> = state
        .passes
        .iter()
        .filter(|(hash, pass)| wanted(hash, pass.kind))
        .map(|(hash, _)| hash.to_record())
        .collect();
    if ended.is_empty() {
        return Decision::unchanged(PassReply::Done);
    }
    Decision::new(vec![PassRecord::Ended(ended)], PassReply::Done)
}

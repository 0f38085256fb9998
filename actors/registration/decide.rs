//! What becomes of a command about registration tokens.

use playhouse_schema::record::house::{HouseRecord, RegistrationToken};

use super::{
    message::{RegistrationCommand, RegistrationError, RegistrationReply},
    state::Registration,
};
use crate::{env::Env, kernel::Decision};

/// So many tokens there may be.
const TOKENS_MAX: usize = 10_000;

/// So long a token may be.
const TOKEN_BYTES_MAX: usize = 64;

pub(super) fn decide(
    state: &Registration,
    command: RegistrationCommand,
    env: &Env,
) -> Result<Decision<Registration>, RegistrationError> {
    let record = match command {
        RegistrationCommand::SetToken { token, new } => set(state, token, new)?,
        RegistrationCommand::DeleteToken(token) => {
            if !state.tokens.contains_key(&token) {
                return Err(RegistrationError::Unknown);
            }
            HouseRecord::RegistrationTokenDeleted(token)
        }
        RegistrationCommand::Use(token) => {
            let usable = state
                .tokens
                .get(&token)
                .is_some_and(|counted| counted.is_usable(0, env.now_ms()));
            if !usable {
                return Err(RegistrationError::Invalid);
            }
            HouseRecord::RegistrationTokenUsed(token)
        }
        RegistrationCommand::Return(token) => {
            if !state.tokens.contains_key(&token) {
                return Ok(Decision::unchanged(RegistrationReply));
            }
            HouseRecord::RegistrationTokenReturned(token)
        }
    };
    Ok(Decision::new(vec![record], RegistrationReply))
}

fn set(
    state: &Registration,
    token: RegistrationToken,
    new: bool,
) -> Result<HouseRecord, RegistrationError> {
    let known = state.tokens.contains_key(&token.token);
    if new && known {
        return Err(RegistrationError::Taken);
    }
    if !known && state.tokens.len() >= TOKENS_MAX {
        return Err(RegistrationError::BadToken("too many tokens".to_owned()));
    }
    let fits = (1..=TOKEN_BYTES_MAX).contains(&token.token.len())
        && token
            .token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
    if !fits {
        return Err(RegistrationError::BadToken(
            "a token has 1 to 64 characters out of A-Z, a-z, 0-9 and ._~-".to_owned(),
        ));
    }
    Ok(HouseRecord::RegistrationTokenSet(token))
}

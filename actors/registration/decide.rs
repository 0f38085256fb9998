//! What becomes of a command about registration tokens and nonces.

use playhouse_schema::record::house::{HouseRecord, RegistrationToken, UsedNonce};

use super::{
    message::{RegistrationCommand, RegistrationError, RegistrationReply, TokenChange},
    nonce::read_nonce,
    state::Registration,
};
use crate::{
    env::Env,
    kernel::{Decision, Unavailable},
};

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
        RegistrationCommand::ChangeToken(change) => match changed(state, change)? {
            Some(token) => HouseRecord::RegistrationTokenSet(token),
            None => return Ok(Decision::unchanged(RegistrationReply)),
        },
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
        RegistrationCommand::UseNonce(nonce) => {
            HouseRecord::RegistrationNonceUsed(unused(state, &nonce, env)?)
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

/// What a nonce says that can still be used.
fn unused(state: &Registration, nonce: &str, env: &Env) -> Result<UsedNonce, RegistrationError> {
    let nonce = read_nonce(env, nonce).filter(|nonce| !state.is_used(nonce));
    let nonce = nonce.ok_or(RegistrationError::UnknownNonce)?;
    if !state.has_room_for(&nonce) {
        return Err(Unavailable::Overloaded.into());
    }
    Ok(nonce)
}

/// The token with its new bounds; `None` when they are the old ones.
fn changed(
    state: &Registration,
    change: TokenChange,
) -> Result<Option<RegistrationToken>, RegistrationError> {
    let known = state.tokens.get(&change.token);
    let known = &known.ok_or(RegistrationError::Unknown)?.token;
    let token = RegistrationToken {
        token: change.token,
        uses_max: change.uses_max.unwrap_or(known.uses_max),
        expires_ms: change.expires_ms.unwrap_or(known.expires_ms),
    };
    Ok((token != *known).then_some(token))
}

#[cfg(test)]
mod tests {
    use super::{super::state::NONCES_MAX, *};
    use crate::{kernel::memory, registration::give_nonce};

    #[test]
    fn a_nonce_serves_once() {
        let (env, mut state) = (memory::env(), Registration::default());
        let nonce = give_nonce(&env);
        let used = unused(&state, &nonce, &env).unwrap();
        state.take_in(&HouseRecord::RegistrationNonceUsed(used));
        let unknown = Err(RegistrationError::UnknownNonce);
        assert_eq!(unused(&state, &nonce, &env), unknown);
        assert_eq!(unused(&state, "nonsense", &env), unknown);
        assert!(unused(&state, &give_nonce(&env), &env).is_ok());
        let woken = Registration::decode(&state.encode()).unwrap();
        assert_eq!(unused(&woken, &nonce, &env), unknown);
        assert_eq!(woken, state);
    }

    #[test]
    fn used_nonces_are_forgotten_when_they_are_long_over() {
        let (env, mut state) = (memory::env(), Registration::default());
        let nonce = give_nonce(&env);
        let until_ms = unused(&state, &nonce, &env).unwrap().until_ms;
        let mut use_one = |random: String, until_ms| {
            let used = UsedNonce { random, until_ms };
            state.take_in(&HouseRecord::RegistrationNonceUsed(used));
            state.clone()
        };
        for number in 1..NONCES_MAX {
            use_one(number.to_string(), until_ms);
        }
        // Those of two minutes ago still count, older ones do not.
        let full = use_one("old".to_owned(), until_ms - 119_999);
        assert_eq!(full.nonces.len(), NONCES_MAX);
        let overloaded = Err(RegistrationError::from(Unavailable::Overloaded));
        assert_eq!(unused(&full, &nonce, &env), overloaded);
        let later = use_one("later".to_owned(), until_ms + 120_000);
        assert_eq!(later.nonces.len(), 1);
        assert!(unused(&later, &nonce, &env).is_ok());
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let mut state = Registration::default();
        let change = |uses_max, expires_ms| TokenChange {
            token: "t".to_owned(),
            uses_max,
            expires_ms,
        };
        let unknown = changed(&state, change(Some(None), None));
        assert_eq!(unknown, Err(RegistrationError::Unknown));
        let token = RegistrationToken {
            token: "t".to_owned(),
            uses_max: Some(2),
            expires_ms: Some(9),
        };
        state.take_in(&HouseRecord::RegistrationTokenSet(token));
        assert_eq!(changed(&state, change(None, None)), Ok(None));
        assert_eq!(changed(&state, change(Some(Some(2)), None)), Ok(None));
        let unbounded = changed(&state, change(Some(None), None)).unwrap().unwrap();
        assert_eq!((unbounded.uses_max, unbounded.expires_ms), (None, Some(9)));
        let later = changed(&state, change(None, Some(Some(12))))
            .unwrap()
            .unwrap();
        assert_eq!((later.uses_max, later.expires_ms), (Some(2), Some(12)));
    }
}

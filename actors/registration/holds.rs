//! Uses of tokens that are kept for registrations under way. Volatile: after a restart such a registration simply competes again.

use std::collections::BTreeMap;

use super::{
    message::{RegistrationAnswer, RegistrationQuery, TokenUse},
    state::{Counted, Registration},
};

/// A use is kept so long for a registration under way.
const HOLD_MS: u64 = 30 * 60 * 1000;

/// So many uses are kept at most; beyond it a token counts as used up.
const HOLDS_MAX: usize = 10_000;

/// Uses that are kept: by session, the token and until when.
#[derive(Debug, Default)]
pub struct Holds(BTreeMap<String, (String, u64)>);

impl Holds {
    /// Nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Frees what was kept for a session.
    pub(super) fn release(&mut self, session: &str) {
        self.0.remove(session);
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.0.retain(|_, (_, until_ms)| now_ms < *until_ms);
    }

    fn pending(&self, token: &str, except: Option<&str>) -> u64 {
        let pending = self
            .0
            .iter()
            .filter(|(session, (held, _))| held == token && Some(session.as_str()) != except);
        pending.count() as u64
    }
}

/// Answers a query.
pub(super) fn answer(
    state: &Registration,
    holds: &mut Holds,
    query: RegistrationQuery,
    now_ms: u64,
) -> RegistrationAnswer {
    holds.forget_old(now_ms);
    match query {
        RegistrationQuery::IsValid(token) => {
            RegistrationAnswer::Valid(is_usable(state, holds, (&token, None), now_ms))
        }
        RegistrationQuery::Hold { token, session } => {
            let usable = is_usable(state, holds, (&token, Some(&session)), now_ms)
                && holds.0.len() < HOLDS_MAX;
            if usable {
                holds.0.insert(session, (token, now_ms + HOLD_MS));
            }
            RegistrationAnswer::Valid(usable)
        }
        RegistrationQuery::List => {
            let tokens = state.tokens.values();
            RegistrationAnswer::Tokens(tokens.map(|counted| describe(counted, holds)).collect())
        }
        RegistrationQuery::One(token) => {
            let token = state.tokens.get(&token);
            RegistrationAnswer::Tokens(
                token
                    .map(|counted| describe(counted, holds))
                    .into_iter()
                    .collect(),
            )
        }
    }
}

fn is_usable(
    state: &Registration,
    holds: &Holds,
    (token, session): (&str, Option<&str>),
    now_ms: u64,
) -> bool {
    state
        .tokens
        .get(token)
        .is_some_and(|counted| counted.is_usable(holds.pending(token, session), now_ms))
}

fn describe(counted: &Counted, holds: &Holds) -> TokenUse {
    TokenUse {
        token: counted.token.clone(),
        pending: holds.pending(&counted.token.token, None),
        completed: counted.completed,
    }
}

#[cfg(test)]
mod tests {
    use playhouse_schema::record::house::{HouseRecord, RegistrationToken};

    use super::*;

    fn hold(state: &Registration, holds: &mut Holds, session: &str, now_ms: u64) -> bool {
        let query = RegistrationQuery::Hold {
            token: "t".to_owned(),
            session: session.to_owned(),
        };
        answer(state, holds, query, now_ms) == RegistrationAnswer::Valid(true)
    }

    #[test]
    fn no_more_are_held_than_may_be_used() {
        let mut state = Registration::default();
        let mut holds = Holds::default();
        assert!(!hold(&state, &mut holds, "a", 0));
        state.take_in(&HouseRecord::RegistrationTokenSet(RegistrationToken {
            token: "t".to_owned(),
            uses_max: Some(2),
            expires_ms: None,
        }));
        assert!(hold(&state, &mut holds, "a", 0));
        assert!(hold(&state, &mut holds, "a", 0));
        assert!(hold(&state, &mut holds, "b", 0));
        assert!(!hold(&state, &mut holds, "c", 0));
        holds.release("b");
        state.take_in(&HouseRecord::RegistrationTokenUsed("t".to_owned()));
        assert!(!hold(&state, &mut holds, "c", 0));
        state.take_in(&HouseRecord::RegistrationTokenReturned("t".to_owned()));
        assert!(hold(&state, &mut holds, "c", 0));
        assert!(hold(&state, &mut holds, "d", HOLD_MS));
        assert_eq!(
            Registration::decode(&state.encode()),
            Some(state),
            "a snapshot keeps everything"
        );
    }
}

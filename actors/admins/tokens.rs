//! The tokens by which tools use the admin API without being a user. Only their SHA-256 is ever stored.

use imbl::OrdMap;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::admin::{AdminRecord, AdminRole, AdminTokenMade, AdminTokenRevoked},
};
use serde::{Deserialize, Serialize};

use super::AdminError;
use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
    user::token::{self, TokenHash},
};

/// So many tokens may be good at once.
const TOKENS_MAX: usize = 200;

/// What a token is for is said in so many bytes at most.
const NAME_BYTES_MAX: usize = 100;

/// A token is good for at most so long: a year and a day.
pub const LIFETIME_MAX_MS: u64 = 366 * 24 * 60 * 60 * 1_000;

/// So many characters has the name by which a token is revoked.
const ID_CHARACTERS: usize = 10;

/// All tokens: a fold of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminTokens {
    tokens: OrdMap<String, AdminToken>,
    by_hash: OrdMap<TokenHash, String>,
}

/// A token, without the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminToken {
    /// By which it is revoked.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub roles: Vec<AdminRole>,
    /// Who made it.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Until when it is good, milliseconds since the Unix epoch.
    pub until_ms: u64,
    hash: TokenHash,
}

/// What can be done with tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TokenCommand {
    /// Make one. Answers `Made`.
    Make {
        /// What it is for.
        name: String,
        /// What may be done with it: at least one.
        roles: Vec<AdminRole>,
        /// For how long, milliseconds.
        lifetime_ms: u64,
        /// Who makes it.
        by: String,
    },
    /// End one. Answers `Revoked`; refused with `Unknown`.
    Revoke {
        /// Which.
        id: String,
        /// Who wants that.
        by: String,
    },
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenReply {
    /// The token, told this once, and the name by which it is revoked.
    Made {
        /// The token.
        token: String,
        /// The name.
        id: String,
    },
    /// It is good no more.
    Revoked,
}

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TokenQuery {
    /// What may be done with a token. Answers one; refused with `UnknownToken`.
    Look(String),
    /// All that are good, in the order of their names.
    List,
}

/// What is answered: tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAnswer(pub Vec<AdminToken>);

impl AdminTokens {
    fn judge(
        &self,
        command: TokenCommand,
        env: &Env,
    ) -> Result<(AdminRecord, TokenReply), AdminError> {
        let at_ms = env.now_ms();
        match command {
            TokenCommand::Make {
                name,
                mut roles,
                lifetime_ms,
                by,
            } => {
                roles.sort();
                roles.dedup();
                self.must_fit(&name, &roles, (lifetime_ms, at_ms))?;
                let token = token::make_for_admins(env);
                let id = env.random_string(ID_CHARACTERS);
                let made = AdminTokenMade {
                    id: id.clone(),
                    hash: TokenHash::of(&token).to_record(),
                    name,
                    roles,
                    by,
                    at_ms,
                    until_ms: at_ms.saturating_add(lifetime_ms),
                };
                Ok((AdminRecord::TokenMade(made), TokenReply::Made { token, id }))
            }
            TokenCommand::Revoke { id, by } if self.tokens.contains_key(&id) => {
                let revoked = AdminTokenRevoked { id, by, at_ms };
                Ok((AdminRecord::TokenRevoked(revoked), TokenReply::Revoked))
            }
            TokenCommand::Revoke { .. } => {
                Err(AdminError::Unknown("there is no such token".to_owned()))
            }
        }
    }

    fn must_fit(
        &self,
        name: &str,
        roles: &[AdminRole],
        (lifetime_ms, now_ms): (u64, u64),
    ) -> Result<(), AdminError> {
        let invalid = |message: &str| Err(AdminError::Invalid(message.to_owned()));
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
            return invalid("name is empty or longer than 100 bytes");
        }
        if roles.is_empty() {
            return invalid("roles is empty");
        }
        if lifetime_ms == 0 || lifetime_ms > LIFETIME_MAX_MS {
            return invalid("a token is good for at least a millisecond and at most 366 days");
        }
        let good = self.tokens.values().filter(|one| now_ms < one.until_ms);
        if good.count() >= TOKENS_MAX {
            return Err(AdminError::TooMany);
        }
        Ok(())
    }

    fn make(&mut self, made: &AdminTokenMade) {
        // What has ended before is of no use to anybody any more.
        let ended = self.tokens.values();
        let ended = ended.filter(|token| token.until_ms <= made.at_ms);
        let ended: Vec<String> = ended.map(|token| token.id.clone()).collect();
        for id in ended {
            self.end(&id);
        }
        let hash = TokenHash::from_record(&made.hash);
        self.by_hash.insert(hash.clone(), made.id.clone());
        let token = AdminToken {
            id: made.id.clone(),
            name: made.name.clone(),
            roles: made.roles.clone(),
            by: made.by.clone(),
            at_ms: made.at_ms,
            until_ms: made.until_ms,
            hash,
        };
        self.tokens.insert(made.id.clone(), token);
    }

    fn end(&mut self, id: &str) {
        if let Some(token) = self.tokens.remove(id) {
            self.by_hash.remove(&token.hash);
        }
    }

    fn tell(&self, query: TokenQuery, now_ms: u64) -> Result<TokenAnswer, AdminError> {
        let is_good = |token: &&AdminToken| now_ms < token.until_ms;
        match query {
            TokenQuery::Look(token) => {
                let id = self.by_hash.get(&TokenHash::of(&token));
                let token = id.and_then(|id| self.tokens.get(id)).filter(is_good);
                let token = token.ok_or(AdminError::UnknownToken)?;
                Ok(TokenAnswer(vec![token.clone()]))
            }
            TokenQuery::List => {
                let tokens = self.tokens.values().filter(is_good);
                Ok(TokenAnswer(tokens.cloned().collect()))
            }
        }
    }
}

impl Domain for AdminTokens {
    const NAME: &'static str = "admin_tokens";

    type Record = AdminRecord;
    type Command = TokenCommand;
    type Reply = TokenReply;
    type Query = TokenQuery;
    type Answer = TokenAnswer;
    type Signal = ();
    type Error = AdminError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &AdminRecord) {
        match record {
            AdminRecord::TokenMade(made) => self.make(made),
            AdminRecord::TokenRevoked(revoked) => self.end(&revoked.id),
            // Topics of their own.
            AdminRecord::ChangeBegun(_)
            | AdminRecord::ChangeEnded(_)
            | AdminRecord::PolicySaved(_)
            | AdminRecord::PolicyDeleted(_)
            | AdminRecord::PolicyRunBegun(_)
            | AdminRecord::PolicyRunEnded(_)
            | AdminRecord::PolicyRunUndone(_) => {}
        }
    }

    fn decide(&self, command: TokenCommand, env: &Env) -> Result<Decision<Self>, AdminError> {
        let (record, reply) = self.judge(command, env)?;
        Ok(Decision::new(vec![record], reply))
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: TokenQuery,
        port: Port<TokenAnswer, AdminError>,
    ) {
        let now_ms = resident.context.now_ms();
        let _ = port.send(resident.state.tell(query, now_ms));
    }

    fn weight_bytes(&self) -> usize {
        256 + self.tokens.len() * 400
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::testing;

    fn make(tokens: &mut AdminTokens, env: &Env, lifetime_ms: u64) -> (String, String) {
        let command = TokenCommand::Make {
            name: "a tool".to_owned(),
            roles: vec![AdminRole::Operate, AdminRole::Read, AdminRole::Read],
            lifetime_ms,
            by: "@boss:b".to_owned(),
        };
        let (record, reply) = tokens.judge(command, env).expect("it is made");
        tokens.apply(1, 1, &record);
        let TokenReply::Made { token, id } = reply else {
            panic!("a token is made");
        };
        (token, id)
    }

    #[test]
    fn a_token_is_good_until_it_ends_or_is_revoked() {
        let env = testing::env();
        let now_ms = env.now_ms();
        let mut tokens = AdminTokens::default();
        let (token, id) = make(&mut tokens, &env, 1_000);
        let look = |tokens: &AdminTokens, at_ms: u64| {
            let told = tokens.tell(TokenQuery::Look(token.clone()), at_ms);
            told.map(|TokenAnswer(found)| found[0].roles.clone())
        };
        let roles = vec![AdminRole::Read, AdminRole::Operate];
        assert_eq!(look(&tokens, now_ms), Ok(roles));
        assert_eq!(look(&tokens, now_ms + 2_000), Err(AdminError::UnknownToken));
        let revoke = TokenCommand::Revoke {
            id,
            by: "@boss:b".to_owned(),
        };
        let (record, _) = tokens.judge(revoke.clone(), &env).expect("it is revoked");
        tokens.apply(2, 2, &record);
        assert_eq!(look(&tokens, now_ms), Err(AdminError::UnknownToken));
        assert!(matches!(
            tokens.judge(revoke, &env),
            Err(AdminError::Unknown(_))
        ));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (env, tokens) = (testing::env(), AdminTokens::default());
        let ask = |name: &str, roles: Vec<AdminRole>, lifetime_ms: u64| {
            let command = TokenCommand::Make {
                name: name.to_owned(),
                roles,
                lifetime_ms,
                by: "@boss:b".to_owned(),
            };
            tokens.judge(command, &env).is_ok()
        };
        assert!(ask("x", vec![AdminRole::Read], 1));
        assert!(!ask(" ", vec![AdminRole::Read], 1));
        assert!(!ask(&"x".repeat(101), vec![AdminRole::Read], 1));
        assert!(!ask("x", Vec::new(), 1));
        assert!(!ask("x", vec![AdminRole::Read], 0));
        assert!(!ask("x", vec![AdminRole::Read], LIFETIME_MAX_MS + 1));
    }
}

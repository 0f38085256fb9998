//! Exchange a refresh token.
//!
//! The answer may be lost on its way, so the old refresh token stays in force until one of the new tokens is used. Exchanged again before that, it
//! voids what nobody used.

use playhouse_schema::record::user::UserRecord;

use super::{
    context::UserLimits, error::UserError, login, message::UserReply, state::User, token::TokenHash,
};
use crate::{env::Env, kernel::Decision};

pub(super) fn decide(
    user: &User,
    refresh_token: &str,
    env: &Env,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    let unknown = UserError::UnknownToken { soft_logout: false };
    let Ok(account) = user.open() else {
        return Err(unknown);
    };
    let hash = TokenHash::of(refresh_token);
    let token = user.tokens.refresh(&hash).ok_or(unknown)?;
    if account.locked {
        return Err(UserError::Locked);
    }
    if token
        .expires_ms
        .is_some_and(|expires_ms| expires_ms <= env.now_ms())
    {
        return Err(UserError::UnknownToken { soft_logout: true });
    }
    let mut ended = user.tokens.replaced(token.replaces.as_ref());
    ended.extend(user.tokens.unused_successors(&hash));
    let mut records = Vec::new();
    if !ended.is_empty() {
        records.push(UserRecord::TokensRevoked(ended));
    }
    let lifetime_ms = Some(limits.access_lifetime_ms);
    let (mut issued, session) =
        login::issue(user, token.device_id.clone(), lifetime_ms, (env, limits));
    issued.replaces_refresh_hash = Some(hash.to_record());
    issued.client_id = token.client_id.as_deref().map(str::to_owned);
    records.push(UserRecord::TokenIssued(issued));
    Ok(Decision::new(records, UserReply::LoggedIn(session)))
}

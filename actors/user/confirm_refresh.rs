//! The first use of an access token that came from a refresh: what it replaced ends.

use playhouse_schema::record::user::UserRecord;

use super::{error::UserError, message::UserReply, state::User, token::TokenHash};
use crate::kernel::Decision;

pub(super) fn decide(user: &User, access_hash: &[u8]) -> Result<Decision<User>, UserError> {
    user.open()?;
    let Some(token) = user.tokens.access(&TokenHash::from_record(access_hash)) else {
        return Ok(Decision::unchanged(UserReply::Done));
    };
    let ended = user.tokens.replaced(token.replaces.as_ref());
    if ended.is_empty() {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let records = vec![UserRecord::TokensRevoked(ended)];
    Ok(Decision::new(records, UserReply::Done))
}

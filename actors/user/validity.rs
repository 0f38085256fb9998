//! Accounts that end unless they are renewed.

use playhouse_schema::record::user::{RenewalMailed, UserRecord, ValiditySet};

use super::{error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

/// Judges a new end of the account.
pub(super) fn decide_set(user: &User, until_ms: u64) -> Result<Decision<User>, UserError> {
    if user.open()?.valid_until_ms == Some(until_ms) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let record = UserRecord::ValiditySet(ValiditySet { until_ms });
    Ok(Decision::new(vec![record], UserReply::Done))
}

/// Judges that the user was mailed of an end, which must be the one that is to come.
pub(super) fn decide_mailed(user: &User, until_ms: u64) -> Result<Decision<User>, UserError> {
    let account = user.open()?;
    if account.valid_until_ms != Some(until_ms) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let record = UserRecord::RenewalMailed(RenewalMailed { until_ms });
    Ok(Decision::new(vec![record], UserReply::Done))
}

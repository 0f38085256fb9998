//! Open a closed account again.

use playhouse_schema::record::user::{Reopened, UserRecord, ValiditySet};

use super::{context::UserLimits, error::UserError, message::UserReply, state::User};
use crate::{env::Env, kernel::Decision};

/// Judges it. What happens to an account that is open is nothing: its password stays.
pub(super) fn decide(
    user: &User,
    password_hash: Option<String>,
    env: &Env,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    let account = user.existing()?;
    if !account.deactivated {
        return Ok(Decision::unchanged(UserReply::Count(0)));
    }
    let at_ms = env.now_ms();
    let mut records = vec![UserRecord::Reopened(Reopened {
        password_hash,
        guest: account.guest,
        at_ms,
    })];
    if let Some(period_ms) = limits.account_period_ms.filter(|_| !account.guest) {
        let until_ms = at_ms.saturating_add(period_ms);
        records.push(UserRecord::ValiditySet(ValiditySet { until_ms }));
    }
    Ok(Decision::new(records, UserReply::Count(1)))
}

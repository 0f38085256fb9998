//! Close the account.

use playhouse_schema::record::user::{Deactivated, UserRecord};

use super::{error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

pub(super) fn decide(user: &User, erase: bool) -> Result<Decision<User>, UserError> {
    let account = user.existing()?;
    if account.deactivated && (account.erased || !erase) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let records = vec![UserRecord::Deactivated(Deactivated { erase })];
    Ok(Decision::new(records, UserReply::Done))
}

//! Lock, suspend, make an administrator, and the opposites.

use playhouse_schema::record::user::UserRecord;

use super::{error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

pub(super) fn decide_locked(user: &User, locked: bool) -> Result<Decision<User>, UserError> {
    let known = user.open()?.locked;
    Ok(changed(known, locked, UserRecord::LockSet))
}

pub(super) fn decide_suspended(user: &User, suspended: bool) -> Result<Decision<User>, UserError> {
    let known = user.open()?.suspended;
    Ok(changed(known, suspended, UserRecord::SuspensionSet))
}

pub(super) fn decide_admin(user: &User, admin: bool) -> Result<Decision<User>, UserError> {
    let known = user.open()?.admin;
    Ok(changed(known, admin, UserRecord::AdminSet))
}

fn changed(known: bool, wanted: bool, record: fn(bool) -> UserRecord) -> Decision<User> {
    if known == wanted {
        return Decision::unchanged(UserReply::Done);
    }
    Decision::new(vec![record(wanted)], UserReply::Done)
}

//! Takes what was private out of the log, after an account was closed with the wish to be erased.

use bytes::Bytes;
use playhouse_schema::{
    address::Sequence,
    port::StoredRecord,
    record::{
        ERASURE,
        codec::Record as _,
        user::{Registered, Reopened, UserRecord},
    },
};

use super::{error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

/// What is to stand in the place of a record of an erased account; `None` when it may stay. A kind that is not known here is taken for private.
pub(crate) fn tombstone(stored: &StoredRecord) -> Option<UserRecord> {
    if stored.kind == ERASURE {
        return None;
    }
    match UserRecord::decode(stored) {
        Ok(Some(UserRecord::Registered(registered))) => {
            registered.password_hash.as_ref()?;
            Some(UserRecord::Registered(Registered {
                password_hash: None,
                ..registered
            }))
        }
        Ok(Some(UserRecord::Reopened(reopened))) => {
            reopened.password_hash.as_ref()?;
            Some(UserRecord::Reopened(Reopened {
                password_hash: None,
                ..reopened
            }))
        }
        // What was decided of the account would hold if it were opened again.
        Ok(Some(
            UserRecord::Deactivated(_)
            | UserRecord::LockSet(_)
            | UserRecord::SuspensionSet(_)
            | UserRecord::AdminSet(_)
            | UserRecord::UserTypeSet(_)
            | UserRecord::ShadowBanSet(_)
            | UserRecord::RateOverrideSet(_)
            | UserRecord::Erased,
        )) => None,
        Ok(_) | Err(_) => Some(UserRecord::Erased),
    }
}

/// Judges it: the records were read by the caller, since a user does not hold its history. What came after the wish to be erased stays.
pub(super) fn decide(
    user: &User,
    records: Vec<(Sequence, UserRecord)>,
) -> Result<Decision<User>, UserError> {
    let account = user.existing()?;
    if account.erased_until == 0 {
        return Err(UserError::Forbidden(
            "the account was not closed with the wish to be erased".to_owned(),
        ));
    }
    let mut decision = Decision::unchanged(UserReply::Done);
    decision.erasures = records
        .into_iter()
        .filter(|(sequence, _)| *sequence <= account.erased_until)
        .map(|(sequence, record)| -> (Sequence, Bytes) { (sequence, record.encode()) })
        .collect();
    Ok(decision)
}

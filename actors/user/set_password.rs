//! Change the password, and perhaps end the other sessions.

use playhouse_schema::record::user::UserRecord;
use ruma::OwnedDeviceId;

use super::{error::UserError, message::UserReply, remove_devices, state::User};
use crate::kernel::Decision;

pub(super) fn decide(
    user: &User,
    password_hash: Option<String>,
    logout_except: Option<Option<OwnedDeviceId>>,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let mut records = vec![UserRecord::PasswordSet(password_hash)];
    if let Some(except) = logout_except {
        records.extend(remove_devices::all_but(user, except.as_deref()));
    }
    Ok(Decision::new(records, UserReply::Done))
}

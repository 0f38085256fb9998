//! Set the presence by hand.

use playhouse_schema::record::user::{PresenceKept, UserRecord};
use ruma::presence::PresenceState;

use super::{error::UserError, message::UserReply, state::User};
use crate::{env::Env, kernel::Decision};

/// The same presence is kept again only after this time.
const WORTH_KEEPING_MS: u64 = 60_000;
const STATUS_BYTES_MAX: usize = 2_048;

pub(super) fn decide(
    user: &User,
    presence: PresenceState,
    status_msg: Option<String>,
    env: &Env,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if status_msg
        .as_ref()
        .is_some_and(|text| text.len() > STATUS_BYTES_MAX)
    {
        return Err(UserError::TooLarge("status_msg is too long".to_owned()));
    }
    let kept = PresenceKept {
        presence: presence.to_string(),
        status_msg,
        active_ms: env.now_ms(),
    };
    let is_news = user.presence.as_ref().is_none_or(|known| {
        known.presence != kept.presence
            || known.status_msg != kept.status_msg
            || kept.active_ms >= known.active_ms.saturating_add(WORTH_KEEPING_MS)
    });
    if !is_news {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let records = vec![UserRecord::PresenceKept(kept)];
    Ok(Decision::new(records, UserReply::Done))
}

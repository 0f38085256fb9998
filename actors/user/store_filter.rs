//! Store a filter. A filter's ID is the number of filters before it.

use playhouse_schema::record::user::UserRecord;

use super::{context::UserLimits, error::UserError, json, message::UserReply, state::User};
use crate::kernel::Decision;

pub(super) fn decide(
    user: &User,
    filter: &str,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if filter.len() > limits.filter_bytes_max {
        return Err(UserError::TooLarge("filter is too large".to_owned()));
    }
    json::object(filter)?;
    let filter = json::canonical_text(filter)?;
    let known = user.filters.iter().position(|known| **known == *filter);
    if let Some(number) = known {
        let reply = UserReply::FilterId(number.to_string());
        return Ok(Decision::unchanged(reply));
    }
    if user.filters.len() >= limits.filters_max {
        return Err(UserError::TooLarge("too many filters".to_owned()));
    }
    let reply = UserReply::FilterId(user.filters.len().to_string());
    let records = vec![UserRecord::FilterStored(json::bytes(filter))];
    Ok(Decision::new(records, reply))
}

//! Remember when and from where devices were seen.

use playhouse_schema::record::user::{DeviceSeen, UserRecord};

use super::{
    error::UserError,
    message::{DeviceSighting, UserReply},
    state::User,
};
use crate::kernel::Decision;

/// A device that is seen again at the same address within this time is not worth a record.
const WORTH_NOTING_MS: u64 = 60_000;
const USER_AGENT_BYTES_MAX: usize = 200;
const ADDRESS_BYTES_MAX: usize = 64;

pub(super) fn decide(
    user: &User,
    sightings: Vec<DeviceSighting>,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let seen: Vec<_> = sightings
        .into_iter()
        .filter(|sighting| is_news(user, sighting))
        .map(|sighting| DeviceSeen {
            device_id: sighting.device_id.to_string(),
            at_ms: sighting.at_ms,
            address: cut(sighting.address, ADDRESS_BYTES_MAX),
            user_agent: cut(sighting.user_agent, USER_AGENT_BYTES_MAX),
        })
        .collect();
    if seen.is_empty() {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let records = vec![UserRecord::DevicesSeen(seen)];
    Ok(Decision::new(records, UserReply::Done))
}

fn is_news(user: &User, sighting: &DeviceSighting) -> bool {
    let Some(device) = user.device(&sighting.device_id) else {
        return false;
    };
    let last_ms = device.last_seen_ms.unwrap_or(0);
    let moved = device.last_seen_address.as_deref() != Some(&sighting.address);
    sighting.at_ms >= last_ms.saturating_add(WORTH_NOTING_MS) || (moved && sighting.at_ms > last_ms)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

//! Snapshots of a user: everything, as MessagePack. A change of any type in it needs another [`VERSION`].

use bytes::Bytes;

use super::state::User;

/// The format of snapshots.
pub(super) const VERSION: u32 = 12;
/// Fewer records than this are cheaper to read again.
const RECORDS_MIN: u64 = 200;
/// A record may cost so many bytes of snapshots: a user with a large state is written less often.
const BYTES_PER_RECORD: u64 = 2_048;

pub(super) fn is_due(user: &User, records_since: u64) -> bool {
    let by_weight = user.weight_bytes() as u64 / BYTES_PER_RECORD;
    records_since >= RECORDS_MIN.max(by_weight)
}

pub(super) fn write(user: &User) -> Bytes {
    Bytes::from(rmp_serde::to_vec(user).expect("a user holds nothing that MessagePack cannot say"))
}

pub(super) fn read(payload: &[u8]) -> Option<User> {
    let mut user: User = rmp_serde::from_slice(payload).ok()?;
    user.measure();
    Some(user)
}

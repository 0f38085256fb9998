//! What a user hears of rooms and of other users, and the syncs that wait for it.

use super::{
    error::UserError,
    message::{UserAnswer, UserQuery, UserSignal},
    state::User,
};
use crate::kernel::{Committed, Port, Resident};

/// The volatile side of a user.
#[derive(Default)]
pub struct Feed {}

impl Feed {
    /// Whether a sync waits.
    pub(super) fn is_busy(&self) -> bool {
        false
    }
}

/// The user woke up.
pub(super) fn woken(_resident: &mut Resident<User>) {}

/// Own records became durable.
pub(super) fn committed(_resident: &mut Resident<User>, _committed: &[Committed]) {}

/// Something was heard.
pub(super) fn signal(_resident: &mut Resident<User>, _signal: UserSignal) {}

/// A query about rooms, presence or news.
pub(super) fn answer(
    _resident: &mut Resident<User>,
    _query: UserQuery,
    port: Port<UserAnswer, UserError>,
) {
    let _ = port.send(Err(UserError::NotFound));
}

//! Who types (client-server API, "Typing notifications"). Kept in memory only.

use std::time::Duration;

use ruma::{OwnedUserId, events::room::member::MembershipState};

use super::super::{message::RoomSignal, state::Room};
use crate::kernel::Resident;

/// The longest time for which somebody is believed to type.
const TIMEOUT_MS_MAX: u64 = 120_000;

/// The shortest: bounds how often the timer runs.
const TIMEOUT_MS_MIN: u64 = 1_000;

/// So many users type at most.
const TYPING_MAX: usize = 1_000;

/// Somebody types for some time, or has stopped.
pub(super) fn typed(resident: &mut Resident<Room>, user_id: OwnedUserId, timeout_ms: u64) {
    let now_ms = resident.context.env.now_ms();
    if timeout_ms == 0 {
        if resident.live.typing.remove(&user_id).is_some() {
            tell(resident);
        }
        return;
    }
    let known = resident.live.typing.contains_key(&user_id);
    let joined = resident.state.membership(&user_id) == Some(MembershipState::Join);
    if !joined || (!known && resident.live.typing.len() >= TYPING_MAX) {
        return;
    }
    let until = now_ms + timeout_ms.clamp(TIMEOUT_MS_MIN, TIMEOUT_MS_MAX);
    resident.live.typing.insert(user_id, until);
    if !known {
        tell(resident);
    }
    set_timer(resident, now_ms);
}

/// The time of some may be up. Those who have left stop, too.
pub(super) fn expired(resident: &mut Resident<Room>) {
    let now_ms = resident.context.env.now_ms();
    let before = resident.live.typing.len();
    let room = resident.state.clone();
    resident.live.typing.retain(|user_id, until| {
        *until > now_ms && room.membership(user_id) == Some(MembershipState::Join)
    });
    drop(room);
    if resident.live.typing.len() != before {
        tell(resident);
    }
    if resident.live.typing_timer_ms <= now_ms {
        resident.live.typing_timer_ms = 0;
        set_timer(resident, now_ms);
    }
}

fn tell(resident: &Resident<Room>) {
    let users = resident.live.typing.keys().cloned().collect();
    resident
        .context
        .typing
        .typing_changed(&resident.state.room_id, users);
}

/// Sees to it that a timer runs out when the first of those who type is due. Later timers that are still running do no harm.
fn set_timer(resident: &mut Resident<Room>, now_ms: u64) {
    let Some(due) = resident.live.typing.values().min().copied() else {
        return;
    };
    let running = resident.live.typing_timer_ms;
    if running != 0 && running <= due {
        return;
    }
    resident.live.typing_timer_ms = due;
    let myself = resident.myself.clone();
    let wait = Duration::from_millis(due.saturating_sub(now_ms));
    ractor::concurrency::spawn(async move {
        tokio::time::sleep(wait).await;
        myself.signal(RoomSignal::TypingExpired);
    });
}

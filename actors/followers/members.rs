//! What followers may do to memberships, and how they go on when one room does not answer.

use std::{future::Future, time::Duration};

use futures_util::future::BoxFuture;
use ruma::{
    EventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState,
};

use super::task::{Stop, Stopped};
use crate::{
    room::{RoomError, message::MemberProfile},
    user::UserError,
};

/// Users and rooms as followers see them.
pub trait Members: Send + Sync + 'static {
    /// The profile in force of a local user, as member events carry it.
    fn profile<'a>(
        &'a self,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<MemberProfile, UserError>>;

    /// The rooms of a local user.
    fn rooms<'a>(
        &'a self,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Vec<(OwnedRoomId, MembershipState)>, UserError>>;

    /// Gives a joined user's member event another profile. Nothing happens when it has it, or when the user is not joined.
    fn refresh_profile<'a>(
        &'a self,
        room_id: &'a RoomId,
        user_id: &'a UserId,
        profile: MemberProfile,
    ) -> BoxFuture<'a, Result<(), RoomError>>;

    /// Local guests who are joined to a room that does not, or no longer, let guests in.
    fn unwelcome_guests<'a>(
        &'a self,
        room_id: &'a RoomId,
    ) -> BoxFuture<'a, Result<Vec<OwnedUserId>, RoomError>>;

    /// Whether a local user is a guest.
    fn is_guest<'a>(&'a self, user_id: &'a UserId) -> BoxFuture<'a, Result<bool, RoomError>>;

    /// Whether the account of a local user is closed.
    fn is_closed<'a>(&'a self, user_id: &'a UserId) -> BoxFuture<'a, Result<bool, UserError>>;

    /// The room that a room replaces, as it says itself. The user is, or was, a member.
    fn predecessor<'a>(
        &'a self,
        room_id: &'a RoomId,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Option<OwnedRoomId>, UserError>>;

    /// Takes the settings of a local user along from one room into another. Nothing happens unless the member event is one by which the user came in.
    fn take_along<'a>(
        &'a self,
        user_id: &'a UserId,
        from_to: (&'a RoomId, &'a RoomId),
        event_id: &'a EventId,
    ) -> BoxFuture<'a, Result<(), UserError>>;

    /// Makes a user leave a room, reject its invite or retract a knock. Nothing happens when there is nothing to leave.
    fn leave<'a>(
        &'a self,
        room_id: &'a RoomId,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<(), RoomError>>;
}

/// So often something is tried before the follower goes on without it.
const ATTEMPTS: u32 = 6;

/// The wait before the second attempt; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Whether trying again may help.
pub(super) trait Passing {
    fn is_passing(&self) -> bool;
}

impl Passing for RoomError {
    fn is_passing(&self) -> bool {
        matches!(
            self,
            RoomError::Unavailable(_) | RoomError::Store(_) | RoomError::Broken(_)
        )
    }
}

impl Passing for UserError {
    fn is_passing(&self) -> bool {
        matches!(
            self,
            UserError::Unavailable(_) | UserError::Store(_) | UserError::Broken(_)
        )
    }
}

/// Tries something until it succeeds, fails for good, or was tried often enough.
pub(super) async fn insist<T, E: Passing, F>(
    stop: &mut Stop,
    mut attempt: impl FnMut() -> F,
) -> Result<Result<T, E>, Stopped>
where
    F: Future<Output = Result<T, E>>,
{
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS {
        if stop.is_told() {
            return Err(Stopped);
        }
        match attempt().await {
            Err(error) if error.is_passing() => {}
            outcome => return Ok(outcome),
        }
        if !stop.pause(wait).await {
            return Err(Stopped);
        }
        wait *= 2;
    }
    Ok(attempt().await)
}

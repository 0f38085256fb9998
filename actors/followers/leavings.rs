//! Rooms that are forgotten as soon as they are left (MSC4267), whoever ended the membership.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Family, Sequence},
    port::{StoreError, StoredRecord},
};
use ruma::{OwnedServerName, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};

use super::{
    member_events,
    members::insist,
    task::{Handled, Handler, Running, Source, Stop, Stopped, follow_from_now, park},
};
use crate::user::UserError;

/// The follower's name among the cursors.
pub const NAME: &str = "leavings";

/// What forgets.
pub trait Forgetter: Send + Sync + 'static {
    /// Forgets a room up to a member event.
    fn forget<'a>(
        &'a self,
        user_id: &'a UserId,
        until: (&'a RoomId, Sequence),
    ) -> BoxFuture<'a, Result<(), UserError>>;
}

/// Starts it, for what happens from now on.
pub async fn start(
    source: Source,
    forgetter: Arc<dyn Forgetter>,
    server_name: OwnedServerName,
) -> Result<Running, StoreError> {
    let leavings = Leavings {
        forgetter,
        server_name,
    };
    follow_from_now(source, NAME, Family::Rooms, leavings).await
}

struct Leavings {
    forgetter: Arc<dyn Forgetter>,
    server_name: OwnedServerName,
}

impl Handler for Leavings {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        Box::pin(async move {
            // Of several ends of one user's membership the last one says it all.
            let mut ends: BTreeMap<(OwnedUserId, _), (Sequence, &StoredRecord)> = BTreeMap::new();
            for record in records {
                let Some(event) = member_events::read(record, &self.server_name) else {
                    continue;
                };
                if matches!(
                    event.membership,
                    MembershipState::Leave | MembershipState::Ban
                ) {
                    ends.insert((event.user_id, event.room_id), (event.sequence, record));
                }
            }
            let mut handled = Handled {
                acted: !ends.is_empty(),
                parked: Vec::new(),
            };
            for ((user_id, room_id), (until, record)) in ends {
                let forgetter = &*self.forgetter;
                let attempt = insist(stop, || forgetter.forget(&user_id, (&room_id, until)));
                match attempt.await? {
                    // Who has no open account remembers nothing.
                    Ok(()) | Err(UserError::UnknownUser | UserError::Deactivated) => {}
                    Err(UserError::TooLarge(why)) => {
                        tracing::warn!(%user_id, %room_id, why, "a room is not forgotten");
                    }
                    Err(why) => handled.parked.push(park(NAME, record, &why)),
                }
            }
            Ok(handled)
        })
    }
}

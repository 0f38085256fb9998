//! A closed account leaves all its rooms and rejects its invites.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{LogStore, StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    members::{Members, insist},
    task::{Handled, Handler, Running, Stop, Stopped, follow, park},
};
use crate::writers::Tail;

/// Its name among the cursors.
const NAME: &str = "departures";

/// Starts it.
pub async fn start(
    source: (Arc<dyn LogStore>, Arc<Tail>),
    members: Arc<dyn Members>,
) -> Result<Running, StoreError> {
    follow(source, NAME, Family::Users, Departures(members)).await
}

struct Departures(Arc<dyn Members>);

impl Handler for Departures {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        Box::pin(async move {
            let mut handled = Handled::default();
            for record in records {
                let Some(user_id) = deactivated_user(record) else {
                    continue;
                };
                handled.acted = true;
                if let Err(why) = self.depart(&user_id, stop).await? {
                    handled.parked.push(park(NAME, record, &why));
                }
            }
            Ok(handled)
        })
    }
}

fn deactivated_user(stored: &StoredRecord) -> Option<OwnedUserId> {
    if stored.entity.prefix() != "user" {
        return None;
    }
    match UserRecord::decode(stored) {
        Ok(Some(UserRecord::Deactivated(_))) => UserId::parse(stored.entity.name()).ok(),
        _ => None,
    }
}

impl Departures {
    /// Leaves all rooms; the last trouble, when one could not be left.
    async fn depart(
        &self,
        user_id: &UserId,
        stop: &mut Stop,
    ) -> Result<Result<(), String>, Stopped> {
        let members = &self.0;
        let rooms = match insist(stop, || members.rooms(user_id)).await? {
            Ok(rooms) => rooms,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut outcome = Ok(());
        for (room_id, membership) in rooms {
            let inside = matches!(
                membership,
                MembershipState::Join | MembershipState::Invite | MembershipState::Knock
            );
            if inside && let Err(error) = insist(stop, || members.leave(&room_id, user_id)).await? {
                outcome = Err(format!("{room_id}: {error}"));
            }
        }
        Ok(outcome)
    }
}

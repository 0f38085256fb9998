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
    members::{Members, insist, park},
    task::{Handler, Running, Stop, Stopped, follow},
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
    ) -> BoxFuture<'a, Result<bool, Stopped>> {
        Box::pin(async move {
            let gone: Vec<OwnedUserId> = records.iter().filter_map(deactivated_user).collect();
            for user_id in &gone {
                self.depart(user_id, stop).await?;
            }
            Ok(!gone.is_empty())
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
    async fn depart(&self, user_id: &UserId, stop: &mut Stop) -> Result<(), Stopped> {
        let members = &self.0;
        let rooms = match insist(stop, || members.rooms(user_id)).await? {
            Ok(rooms) => rooms,
            Err(error) => {
                park(NAME, user_id, None, &error);
                return Ok(());
            }
        };
        for (room_id, membership) in rooms {
            let inside = matches!(
                membership,
                MembershipState::Join | MembershipState::Invite | MembershipState::Knock
            );
            if inside && let Err(error) = insist(stop, || members.leave(&room_id, user_id)).await? {
                park(NAME, user_id, Some(&room_id), &error);
            }
        }
        Ok(())
    }
}

//! A changed display name or avatar goes into the user's member events, room by room.

use std::{collections::BTreeMap, sync::Arc};

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
const NAME: &str = "profiles";

/// Starts it.
pub async fn start(
    source: (Arc<dyn LogStore>, Arc<Tail>),
    members: Arc<dyn Members>,
) -> Result<Running, StoreError> {
    follow(source, NAME, Family::Users, Profiles(members)).await
}

struct Profiles(Arc<dyn Members>);

impl Handler for Profiles {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        Box::pin(async move {
            let mut handled = Handled::default();
            for (user_id, record) in changed_users(records) {
                handled.acted = true;
                if let Err(why) = self.propagate(&user_id, stop).await? {
                    handled.parked.push(park(NAME, record, &why));
                }
            }
            Ok(handled)
        })
    }
}

/// Whose name or avatar changed, each once, with the last record that says so. What they changed to is read when it is their turn, so that the newest wins.
fn changed_users(records: &[StoredRecord]) -> BTreeMap<OwnedUserId, &StoredRecord> {
    let changed = records.iter();
    changed
        .filter_map(|record| Some((changed_user(record)?, record)))
        .collect()
}

fn changed_user(stored: &StoredRecord) -> Option<OwnedUserId> {
    if stored.entity.prefix() != "user" {
        return None;
    }
    match UserRecord::decode(stored) {
        Ok(Some(UserRecord::ProfileFieldSet(field)))
            if field.name == "displayname" || field.name == "avatar_url" =>
        {
            UserId::parse(stored.entity.name()).ok()
        }
        _ => None,
    }
}

impl Profiles {
    /// Refreshes the user in all rooms; the last trouble, when a room could not be refreshed.
    async fn propagate(
        &self,
        user_id: &UserId,
        stop: &mut Stop,
    ) -> Result<Result<(), String>, Stopped> {
        let members = &self.0;
        let rooms = match insist(stop, || members.rooms(user_id)).await? {
            Ok(rooms) => rooms,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let joined = rooms
            .into_iter()
            .filter(|(_, membership)| *membership == MembershipState::Join);
        let mut outcome = Ok(());
        for (room_id, _) in joined {
            let profile = match insist(stop, || members.profile(user_id)).await? {
                Ok(profile) => profile,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let refreshed = insist(stop, || {
                members.refresh_profile(&room_id, user_id, profile.clone())
            });
            if let Err(error) = refreshed.await? {
                outcome = Err(format!("{room_id}: {error}"));
            }
        }
        Ok(outcome)
    }
}

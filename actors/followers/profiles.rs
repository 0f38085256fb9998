//! A changed display name or avatar goes into the user's member events, room by room.

use std::{collections::BTreeSet, sync::Arc};

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
    ) -> BoxFuture<'a, Result<bool, Stopped>> {
        Box::pin(async move {
            let changed = changed_users(records);
            for user_id in &changed {
                self.propagate(user_id, stop).await?;
            }
            Ok(!changed.is_empty())
        })
    }
}

/// Whose name or avatar changed, each once. What they changed to is read when it is their turn, so that the newest wins.
fn changed_users(records: &[StoredRecord]) -> BTreeSet<OwnedUserId> {
    records.iter().filter_map(changed_user).collect()
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
    async fn propagate(&self, user_id: &UserId, stop: &mut Stop) -> Result<(), Stopped> {
        let members = &self.0;
        let rooms = match insist(stop, || members.rooms(user_id)).await? {
            Ok(rooms) => rooms,
            Err(error) => {
                park(NAME, user_id, None, &error);
                return Ok(());
            }
        };
        let joined = rooms
            .into_iter()
            .filter(|(_, membership)| *membership == MembershipState::Join);
        for (room_id, _) in joined {
            let profile = match insist(stop, || members.profile(user_id)).await? {
                Ok(profile) => profile,
                Err(error) => {
                    park(NAME, user_id, None, &error);
                    return Ok(());
                }
            };
            let refreshed = insist(stop, || {
                members.refresh_profile(&room_id, user_id, profile.clone())
            });
            if let Err(error) = refreshed.await? {
                park(NAME, user_id, Some(&room_id), &error);
            }
        }
        Ok(())
    }
}

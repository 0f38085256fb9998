//! A changed display name or avatar goes into the user's member events, room by room.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};
use ruma::{OwnedUserId, events::room::member::MembershipState};

use super::{
    errand::{Errand, Outcome, run_errands, user_of},
    members::{Members, insist},
    task::{Running, Source, Stop, Stopped},
};

/// Starts it.
pub async fn start(source: Source, members: Arc<dyn Members>) -> Result<Running, StoreError> {
    run_errands(source, Profiles(members)).await
}

/// Once for each user: what a name changed to is read when it is the user's turn, so that the newest wins.
struct Profiles(Arc<dyn Members>);

impl Errand for Profiles {
    const NAME: &'static str = "profiles";
    const FAMILY: Family = Family::Users;
    type Subject = OwnedUserId;

    fn subject(&self, stored: &StoredRecord) -> Option<OwnedUserId> {
        let user_id = user_of(stored)?;
        match UserRecord::decode(stored).ok()?? {
            UserRecord::ProfileFieldSet(field)
                if field.name == "displayname" || field.name == "avatar_url" =>
            {
                Some(user_id)
            }
            _ => None,
        }
    }

    fn run<'a>(
        &'a mut self,
        user_id: OwnedUserId,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Outcome, Stopped>> {
        Box::pin(async move {
            let members = &*self.0;
            let rooms = match insist(stop, || members.rooms(&user_id)).await? {
                Ok(rooms) => rooms,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let joined = rooms
                .into_iter()
                .filter(|(_, membership)| *membership == MembershipState::Join);
            let mut outcome = Ok(());
            for (room_id, _) in joined {
                let profile = match insist(stop, || members.profile(&user_id)).await? {
                    Ok(profile) => profile,
                    Err(error) => return Ok(Err(error.to_string())),
                };
                let refreshed = insist(stop, || {
                    members.refresh_profile(&room_id, &user_id, profile.clone())
                });
                if let Err(error) = refreshed.await? {
                    outcome = Err(format!("{room_id}: {error}"));
                }
            }
            Ok(outcome)
        })
    }
}

//! A closed account leaves all its rooms and rejects its invites. One that is opened again has left them before: what it is in then is nothing to this.

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
    run_errands(source, Departures(members)).await
}

struct Departures(Arc<dyn Members>);

impl Errand for Departures {
    const NAME: &'static str = "departures";
    const FAMILY: Family = Family::Users;
    type Subject = OwnedUserId;

    fn subject(&self, stored: &StoredRecord) -> Option<OwnedUserId> {
        let user_id = user_of(stored)?;
        let record = UserRecord::decode(stored).ok()??;
        matches!(record, UserRecord::Deactivated(_)).then_some(user_id)
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
            let mut outcome = Ok(());
            for (room_id, membership) in rooms {
                let inside = matches!(
                    membership,
                    MembershipState::Join | MembershipState::Invite | MembershipState::Knock
                );
                if !inside {
                    continue;
                }
                match insist(stop, || members.is_closed(&user_id)).await? {
                    Ok(true) => {}
                    Ok(false) => return Ok(outcome),
                    Err(error) => return Ok(Err(error.to_string())),
                }
                if let Err(error) = insist(stop, || members.leave(&room_id, &user_id)).await? {
                    outcome = Err(format!("{room_id}: {error}"));
                }
            }
            Ok(outcome)
        })
    }
}

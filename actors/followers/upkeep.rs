//! What events of a room mean for the local users in it: guests leave where guest access was withdrawn or never given (client-server API, "Guest access"),
//! and who comes into a room that replaces another takes the own settings along (client-server API, "Room upgrades").

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{EventRecord, Placement, RoomRecord, Verdict, kind, may_hold},
    },
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use super::{
    errand::{Errand, Outcome, run_errands},
    members::{Members, insist},
    task::{Running, Source, Stop, Stopped},
};
use crate::room::RoomError;

const GUEST_ACCESS: &str = "m.room.guest_access";
const MEMBER: &str = "m.room.member";

/// So many rooms are remembered to replace none. What a room replaces never changes.
const FIRST_ROOMS_MAX: usize = 10_000;

/// So many users are remembered to be no guests. Nobody becomes one later.
const ACCOUNTS_MAX: usize = 10_000;

/// Starts it, for the users of a server.
pub async fn start(
    source: Source,
    members: Arc<dyn Members>,
    server_name: OwnedServerName,
) -> Result<Running, StoreError> {
    let upkeep = Upkeep {
        members,
        server_name,
        first_rooms: BTreeSet::new(),
        accounts: BTreeSet::new(),
    };
    run_errands(source, upkeep).await
}

struct Upkeep {
    members: Arc<dyn Members>,
    server_name: OwnedServerName,
    /// Rooms that replace none.
    first_rooms: BTreeSet<OwnedRoomId>,
    /// Users who are no guests.
    accounts: BTreeSet<OwnedUserId>,
}

/// What is to be looked after.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// Whether guests may be in a room has, perhaps, changed.
    GuestAccess(OwnedRoomId),
    /// A member event says that a local user is joined.
    Joined(OwnedRoomId, OwnedUserId, OwnedEventId),
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    membership: Option<String>,
}

impl Errand for Upkeep {
    const NAME: &'static str = "upkeep";
    const FAMILY: Family = Family::Rooms;
    type Subject = Subject;

    fn subject(&self, stored: &StoredRecord) -> Option<Subject> {
        let is_of_interest = match stored.kind {
            kind::EVENT => {
                may_hold(&stored.payload, MEMBER) || may_hold(&stored.payload, GUEST_ACCESS)
            }
            kind::STATE_SET => true,
            _ => false,
        };
        if !is_of_interest {
            return None;
        }
        let room_id = || RoomId::parse(stored.entity.name()).ok();
        match RoomRecord::decode(stored).ok()?? {
            RoomRecord::Event(event) => self.subject_of_event(room_id, &event),
            RoomRecord::StateSet(set) => {
                let touched = set.changes.iter().any(|one| one.event_type == GUEST_ACCESS);
                (set.current && touched).then(|| Some(Subject::GuestAccess(room_id()?)))?
            }
            _ => None,
        }
    }

    fn run<'a>(
        &'a mut self,
        subject: Subject,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Outcome, Stopped>> {
        Box::pin(async move {
            match subject {
                Subject::GuestAccess(room_id) => self.see_guests_out(&room_id, stop).await,
                Subject::Joined(room_id, user_id, event_id) => {
                    match self.is_guest(&user_id, stop).await? {
                        // A room of another server can turn out to be none for guests when they are in it already.
                        Ok(true) => self.see_guests_out(&room_id, stop).await,
                        Ok(false) => self.settle(&room_id, (&user_id, event_id), stop).await,
                        Err(error) => Ok(Err(error.to_string())),
                    }
                }
            }
        })
    }
}

impl Upkeep {
    fn subject_of_event(
        &self,
        room_id: impl Fn() -> Option<OwnedRoomId>,
        event: &EventRecord,
    ) -> Option<Subject> {
        let counts = event.verdict == Verdict::Accepted && event.placement == Placement::Live;
        let text = std::str::from_utf8(&event.pdu).ok()?;
        if !counts {
            return None;
        }
        let wire: Wire<'_> = serde_json::from_str(text).ok()?;
        let state_key = wire.state_key?;
        if wire.event_type == GUEST_ACCESS {
            return Some(Subject::GuestAccess(room_id()?));
        }
        let is_join =
            wire.event_type == MEMBER && wire.content.membership.as_deref() == Some("join");
        let user_id = is_join.then(|| UserId::parse(&*state_key).ok())??;
        if *user_id.server_name() != *self.server_name {
            return None;
        }
        let event_id = OwnedEventId::try_from(event.event_id.as_str()).ok()?;
        Some(Subject::Joined(room_id()?, user_id, event_id))
    }

    async fn is_guest(
        &mut self,
        user_id: &UserId,
        stop: &mut Stop,
    ) -> Result<Result<bool, RoomError>, Stopped> {
        if self.accounts.contains(user_id) {
            return Ok(Ok(false));
        }
        let members = &*self.members;
        let is_guest = insist(stop, || members.is_guest(user_id)).await?;
        if matches!(is_guest, Ok(false)) {
            if self.accounts.len() >= ACCOUNTS_MAX {
                self.accounts.clear();
            }
            self.accounts.insert(user_id.to_owned());
        }
        Ok(is_guest)
    }

    async fn see_guests_out(&self, room_id: &RoomId, stop: &mut Stop) -> Result<Outcome, Stopped> {
        let members = &*self.members;
        let guests = match insist(stop, || members.unwelcome_guests(room_id)).await? {
            Ok(guests) => guests,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut outcome = Ok(());
        for user_id in guests {
            if let Err(error) = insist(stop, || members.leave(room_id, &user_id)).await? {
                outcome = Err(format!("{user_id}: {error}"));
            }
        }
        Ok(outcome)
    }

    async fn settle(
        &mut self,
        room_id: &RoomId,
        (user_id, event_id): (&UserId, OwnedEventId),
        stop: &mut Stop,
    ) -> Result<Outcome, Stopped> {
        if self.first_rooms.contains(room_id) {
            return Ok(Ok(()));
        }
        let members = &*self.members;
        let from = match insist(stop, || members.predecessor(room_id, user_id)).await? {
            Ok(Some(from)) => from,
            Ok(None) => {
                if self.first_rooms.len() >= FIRST_ROOMS_MAX {
                    self.first_rooms.clear();
                }
                self.first_rooms.insert(room_id.to_owned());
                return Ok(Ok(()));
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        let event_id = &event_id;
        let taken = insist(stop, || {
            members.take_along(user_id, (&from, room_id), event_id)
        });
        Ok(taken.await?.map_err(|error| error.to_string()))
    }
}

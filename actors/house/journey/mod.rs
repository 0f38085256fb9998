//! What users of this server do in rooms in which nobody of it is, and what other servers ask of them there: joins, knocks, leaves and invites that go through a
//! server that is in the room (server-server API, "Joining Rooms", "Knocking upon a room", "Inviting to a room", "Leaving Rooms").
//!
//! A journey is a task of its own and goes on when the client that began it has left: once a server has let somebody in, that is to be recorded here. One
//! user at a time goes into a room, from whichever node; who waited finds the room here, and who would wait too long is told to try again. A join is noted in the log before it is sent, so that it is gone on with,
//! or taken back, when this server ended meanwhile.

mod arrive;
mod complexity;
mod guests;
mod handshake;
mod introduced;
mod invited;
mod inviting;
mod join;
mod meanwhile;
mod noted;
mod outside;
mod resume;
mod undo;
mod whole;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedServerName, RoomId, RoomVersionId, UserId};
use tokio::{
    sync::{Notify, OwnedMutexGuard, Semaphore},
    time::timeout,
};

pub use complexity::{RemoteRooms, UNIT as COMPLEXITY_UNIT};
pub use invited::IncomingInvite;
pub(super) use join::is_for_others;
use meanwhile::Comings;
use noted::Nudges;
pub(super) use resume::Resumer;
use whole::Completions;

use super::{Held, House, HouseError, Places, surprise};
use crate::{
    joins::Joins,
    kernel::Directory,
    room::{RoomAnswer, RoomError, RoomQuery, told::Told},
};

/// So many servers are asked for one journey.
const SERVERS_MAX: usize = 8;

/// No further server is asked when so much time is gone.
const ASKING_MAX: Duration = Duration::from_secs(120);

/// The same for leaving, which is done here in any case.
const LEAVING_MAX: Duration = Duration::from_secs(20);

/// Nobody waits longer for who is on the way into the same room.
const TURN_WITHIN: Duration = Duration::from_secs(30);

/// Who is on the way into which room, or does what else is done by one at a time: one for each name.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>);

/// So many joins that were cut short are gone on with at a time, and so many are taken back.
const RESUMED_AT_ONCE: usize = 4;

/// Where joins wait that are to be gone on with.
struct Line {
    /// One of each user, so that nobody takes the places of all others.
    users: Turns,
    /// So many at a time.
    places: Semaphore,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            users: Turns::default(),
            places: Semaphore::new(RESUMED_AT_ONCE),
        }
    }
}

/// The journeys of this server's users.
pub(super) struct Journeys {
    /// Who is on the way.
    turns: Turns,
    /// Of whom other servers may know already that they are in.
    comings: Comings,
    /// Where members are still to be fetched.
    completions: Completions,
    /// The joins that are under way, on all nodes.
    joins: Arc<Directory<Joins>>,
    /// Rung when there may be one that nobody goes on with.
    bell: Arc<Notify>,
    /// Those that this node goes on with, and those for whose turn it waits; rung when something has changed for one.
    driven: Arc<Mutex<Nudges>>,
    /// Those of these that are to come in.
    entering: Line,
    /// Those of these that are taken back.
    leaving: Line,
}

impl Journeys {
    pub(super) fn new(joins: Arc<Directory<Joins>>, bell: Arc<Notify>) -> Self {
        Self {
            turns: Turns::default(),
            comings: Comings::default(),
            completions: Completions::default(),
            joins,
            bell,
            driven: Arc::default(),
            entering: Line::default(),
            leaving: Line::default(),
        }
    }

    /// Closes what stands in the log of them.
    pub(super) async fn close(&self, within: Duration) {
        self.joins.close(within).await;
    }
}

impl Turns {
    pub(super) fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock();
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// Whether somebody waits, besides the one whose turn it is.
    fn is_waited_for(&self, name: &str) -> bool {
        let turns = self.0.lock();
        turns.get(name).is_some_and(|turn| turn.strong_count() > 1)
    }
}

/// Nobody else is on the way into a room, on any node, until this is dropped.
type Alone = (Held, OwnedMutexGuard<()>);

/// Where this server and a user of it stand towards a room.
pub(super) struct Footing {
    /// This server can speak for the room: somebody of it is in it, or there is nobody else to ask.
    pub(super) is_here: bool,
    /// The room's version, if it is known.
    pub(super) version: Option<RoomVersionId>,
    /// Other servers that are, or were when it was last known, in the room.
    pub(super) others: Vec<OwnedServerName>,
    /// What another server told of the user's membership.
    pub(super) told: Option<Arc<Told>>,
}

impl House {
    /// Looks where this server and a user of it stand towards a room.
    pub(super) async fn footing(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Footing, HouseError> {
        let told = self.told_of(room_id, user_id).await?;
        match self.room_gate(room_id, self.env.server_name()).await {
            Ok(gate) => Ok(Footing {
                version: Some(gate.version),
                // A join that was cut short may have left events, but no room yet.
                is_here: gate.inhabited
                    || (gate.others.is_empty() && told.is_none() && !gate.extremities.is_empty()),
                others: gate.others,
                told,
            }),
            Err(HouseError::Room(RoomError::UnknownRoom)) => Ok(Footing {
                version: told.as_ref().map(|told| told.version.clone()),
                is_here: false,
                others: Vec::new(),
                told,
            }),
            Err(error) => Err(error),
        }
    }

    /// What another server told of a user's membership.
    pub(super) async fn told_of(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<Arc<Told>>, HouseError> {
        match self
            .room_query(room_id, RoomQuery::Told(user_id.to_owned()))
            .await?
        {
            RoomAnswer::Told(told) => Ok(told),
            _ => Err(surprise("Told")),
        }
    }

    /// The servers to ask, in this order: those named, the one that told of the room, those that were in it, the one that the room's ID names,
    /// and those that are told to have done something in it.
    pub(in crate::house) fn helpers(
        &self,
        room_id: &RoomId,
        footing: &Footing,
        named: &[OwnedServerName],
    ) -> Vec<OwnedServerName> {
        let told = footing.told.as_ref();
        let inviter = told.map(|told| told.event.pdu.sender.server_name().to_owned());
        let in_name = room_id.server_name().map(ToOwned::to_owned);
        let all = named
            .iter()
            .cloned()
            .chain(inviter)
            .chain(footing.others.iter().cloned())
            .chain(in_name)
            .chain(told.map(|told| told.servers()).unwrap_or_default());
        let mut helpers = Vec::new();
        for server in all {
            if !self.is_local(&server) && !helpers.contains(&server) {
                helpers.push(server);
            }
            if helpers.len() == SERVERS_MAX {
                break;
            }
        }
        helpers
    }

    /// Waits until nobody is on the way into a room from another node. To be called by whose turn it is on this one.
    pub(super) async fn alone_on_the_way(&self, room_id: &RoomId) -> Result<Held, HouseError> {
        let name = format!("journey {room_id}");
        self.desks.lock(&name, Places::ONE).await
    }

    /// Waits until no other node takes in what somebody is answered who comes into a room.
    async fn alone_in_arriving(&self, room_id: &RoomId) -> Result<Held, HouseError> {
        let name = format!("arrival {room_id}");
        self.desks.lock(&name, Places::ONE).await
    }

    /// Waits until it is one's turn on the way into a room, on all nodes; refused with `Busy` when others are on the way for too long.
    async fn turn_into(&self, room_id: &RoomId) -> Result<Alone, HouseError> {
        let turn = timeout(TURN_WITHIN, self.wait_for_turn(room_id)).await;
        turn.unwrap_or(Err(HouseError::Busy))
    }

    async fn wait_for_turn(&self, room_id: &RoomId) -> Result<Alone, HouseError> {
        let turn = self.journeys.turns.of(room_id.as_str());
        let turn = turn.lock_owned().await;
        Ok((self.alone_on_the_way(room_id).await?, turn))
    }

    /// Lets a journey go on to its end, whoever still waits for it.
    async fn travel<T, F>(&self, journey: impl FnOnce(Arc<House>) -> F) -> Result<T, HouseError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HouseError>> + Send + 'static,
    {
        let closing = || HouseError::Store("the server is shutting down".to_owned());
        let house = self.myself.upgrade().ok_or_else(closing)?;
        let journey = self.runtime.spawn(journey(house));
        journey.await.map_err(|_| closing())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whose_turn_it_is_knows_that_somebody_waits() {
        let turns = Turns::default();
        assert!(!turns.is_waited_for("!a:b"));
        let turn = turns.of("!a:b").try_lock_owned().unwrap();
        assert!(!turns.is_waited_for("!a:b"));
        let next = turns.of("!a:b");
        assert!(turns.is_waited_for("!a:b"));
        assert!(next.try_lock().is_err());
        drop(next);
        assert!(!turns.is_waited_for("!a:b"));
        drop(turn);
        assert!(turns.of("!a:b").try_lock().is_ok());
    }
}

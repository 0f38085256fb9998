//! What happened in a room while nobody of this server was in it, fetched when somebody comes back, so that the past has no hole; and what happens while
//! somebody is on the way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, ServerName};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout},
};

use crate::{
    house::{
        House, HouseError,
        receive::{Lacks, Scene},
    },
    room::{RoomError, answer::RoomGate},
};

/// So often the server is asked for more.
const ROUNDS_MAX: usize = 20;

/// So long the one who comes back waits for it.
const WITHIN: Duration = Duration::from_secs(10);

/// So long a server that brings events waits while an answer is taken in.
const ARRIVAL: Duration = Duration::from_secs(20);

/// An answer is waited for until so long after it was asked for: by then most servers have answered, and one that is slow holds up nobody any more.
const ANSWER: Duration = Duration::from_secs(5);

/// Who is coming into which room: other servers may know of it already.
#[derive(Default)]
pub(super) struct Comings(Mutex<BTreeMap<OwnedRoomId, Weak<Coming>>>);

/// Somebody is coming into a room.
struct Coming {
    asked_at: Instant,
    /// The answer is being taken in.
    is_answered: AtomicBool,
    /// Held until it is over.
    over: Arc<tokio::sync::Mutex<()>>,
}

/// Somebody is coming into a room as long as this is held.
pub(super) struct UnderWay {
    coming: Arc<Coming>,
    _until_over: Option<OwnedMutexGuard<()>>,
}

impl Comings {
    /// Somebody comes into a room from now on.
    pub(super) fn begin(&self, room_id: &RoomId) -> UnderWay {
        let over = Arc::<tokio::sync::Mutex<()>>::default();
        let coming = Arc::new(Coming {
            asked_at: Instant::now(),
            is_answered: AtomicBool::new(false),
            over: over.clone(),
        });
        let mut comings = self.0.lock();
        comings.retain(|_, coming| coming.strong_count() > 0);
        comings.insert(room_id.to_owned(), Arc::downgrade(&coming));
        UnderWay {
            coming,
            // Nobody else has seen it yet.
            _until_over: over.try_lock_owned().ok(),
        }
    }

    fn of(&self, room_id: &RoomId) -> Option<Arc<Coming>> {
        self.0.lock().get(room_id).and_then(Weak::upgrade)
    }
}

impl UnderWay {
    /// The answer is there.
    pub(super) fn answered(&self) {
        self.coming.is_answered.store(true, Ordering::Release);
    }
}

impl Coming {
    /// Waits until it is over, but not long for a server that does not answer.
    async fn over(&self) {
        let is_answered = || self.is_answered.load(Ordering::Acquire);
        if !is_answered() {
            let left = ANSWER.saturating_sub(self.asked_at.elapsed());
            let over = timeout(left, self.over.lock()).await;
            if over.is_ok() || !is_answered() {
                return;
            }
        }
        let _over = timeout(ARRIVAL, self.over.lock()).await;
    }
}

impl House {
    /// What a room says of a server that brings events of it: the servers in a room know that somebody comes in before this one does, and what they send then
    /// is to be heard once the room is here.
    pub(in crate::house) async fn gate_on_arrival(
        &self,
        room_id: &RoomId,
        server: &ServerName,
    ) -> Result<RoomGate, HouseError> {
        let gate = self.room_gate(room_id, server).await;
        let is_outside = match &gate {
            Ok(gate) => !gate.inhabited,
            Err(error) => matches!(error, HouseError::Room(RoomError::UnknownRoom)),
        };
        let coming = self.journeys.comings.of(room_id);
        let nobody_comes = coming.is_none() && self.desks.is_alone();
        if !is_outside || nobody_comes {
            return gate;
        }
        match coming {
            Some(coming) => coming.over().await,
            None => self.arrived_elsewhere(room_id).await,
        }
        self.room_gate(room_id, server).await
    }

    /// Waits for who is coming into a room from another node.
    async fn arrived_elsewhere(&self, room_id: &RoomId) {
        let journey = timeout(ANSWER, self.alone_on_the_way(room_id)).await;
        if journey.is_err() {
            let _arrived = timeout(ARRIVAL, self.alone_in_arriving(room_id)).await;
        }
    }

    /// Takes in what lies between what is known here of a room and a join that a server has just let in, as far as it tells: the join stands without it,
    /// too. Nothing, for a room that is new here.
    pub(super) async fn hear_of_meanwhile(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        join: &EventId,
    ) {
        let gate = match self.room_gate(room_id, server).await {
            Ok(gate) if !gate.extremities.is_empty() => gate,
            _ => return,
        };
        let scene = Scene {
            origin: server,
            room_id,
            gate: &gate,
        };
        let filled = timeout(WITHIN, self.fill_gap(scene, join)).await;
        if !matches!(filled, Ok(Ok(()))) {
            tracing::info!(%room_id, %server, ?filled, "what happened meanwhile is not told");
        }
    }

    async fn fill_gap(&self, scene: Scene<'_>, join: &EventId) -> Result<(), HouseError> {
        let mut latest: Vec<OwnedEventId> = vec![join.to_owned()];
        let mut events = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let found = self.missing_events(scene, &latest).await?;
            if found.is_empty() {
                break;
            }
            events.splice(0..0, found);
            let fates = self.receive(scene.room_id, None, events.clone()).await?;
            let lacks = Lacks::of(&fates);
            events.retain(|event| lacks.listed.contains(&event.pdu.event_id));
            latest = lacks.rootless;
            if latest.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[tokio::test]
    async fn who_comes_in_is_waited_for_until_that_is_over() {
        let comings = Comings::default();
        let (here, there) = (room_id!("!here:b"), room_id!("!there:b"));
        let under_way = comings.begin(here);
        assert!(comings.of(there).is_none());
        let seen = comings.of(here).unwrap();
        assert!(seen.over.try_lock().is_err());
        under_way.answered();
        let ((), ()) = tokio::join!(seen.over(), async { drop(under_way) });
        assert!(seen.over.try_lock().is_ok());
        drop(seen);
        assert!(comings.of(here).is_none());
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_holds_nobody_up() {
        let slow = Coming {
            asked_at: Instant::now().checked_sub(ANSWER).unwrap(),
            is_answered: AtomicBool::new(false),
            over: Arc::default(),
        };
        let _held = slow.over.clone().lock_owned().await;
        let begun = Instant::now();
        slow.over().await;
        assert!(begun.elapsed() < ANSWER);
    }
}

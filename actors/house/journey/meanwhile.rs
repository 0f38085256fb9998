//! What happened in a room while nobody of this server was in it, fetched when somebody comes back, so that the past has no hole; and what happens while
//! somebody is on the way.

use std::time::Duration;

use ruma::{EventId, OwnedEventId, RoomId, ServerName};

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

/// So long a server that brings events waits for who is on the way.
const ARRIVAL: Duration = Duration::from_secs(20);

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
        let under_way = self.journeys.turns.under_way(room_id);
        let nobody_comes = under_way.is_none() && self.desks.is_alone();
        if !is_outside || nobody_comes {
            return gate;
        }
        let arrival = async {
            if let Some(turn) = &under_way {
                drop(turn.lock().await);
            }
            self.alone_on_the_way(room_id).await
        };
        let _arrived = tokio::time::timeout(ARRIVAL, arrival).await;
        self.room_gate(room_id, server).await
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
        let filled = tokio::time::timeout(WITHIN, self.fill_gap(scene, join)).await;
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

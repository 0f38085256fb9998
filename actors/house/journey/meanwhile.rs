//! What happened in a room while nobody of this server was in it: fetched when somebody comes back, so that the past has no hole.

use std::time::Duration;

use ruma::{EventId, OwnedEventId, RoomId, ServerName};

use crate::house::{
    House, HouseError,
    receive::{Lacks, Scene},
};

/// So often the server is asked for more.
const ROUNDS_MAX: usize = 20;

/// So long the one who comes back waits for it.
const WITHIN: Duration = Duration::from_secs(10);

impl House {
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

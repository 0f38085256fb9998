//! The task that takes in received events: weighs them on the room as it is, and has the room record them.

use ruma::RoomVersionId;

use super::{EVENTS_MAX, Fate, Fates, Memory, Occasion, Receive, resets::report, weigh::Weighing};
use crate::{
    kernel::{Myself, Port, Resident, Unavailable},
    room::{
        Room, RoomAnswer, RoomCommand, RoomError, RoomQuery,
        context::RoomContext,
        held,
        query::history::{Archive, History},
    },
};

/// So often events are weighed anew because the room has moved on meanwhile.
const ATTEMPTS_MAX: usize = 50;

/// Takes in events of other servers, one list at a time.
pub(in crate::room) fn receive(
    resident: &mut Resident<Room>,
    version: Option<RoomVersionId>,
    wish: Receive,
    port: Port<RoomAnswer, RoomError>,
) {
    let turn = resident.live.receiving.clone();
    let context = resident.context.clone();
    let myself = resident.myself.clone();
    let room_id = resident.state.room_id.clone();
    ractor::concurrency::spawn(async move {
        let mut memory = turn.lock().await;
        let place = (&myself, &*context);
        let is_completion = matches!(wish.occasion, Occasion::Completion { .. });
        let version = version.as_ref();
        let mut received = take_all_in(place, &mut memory, version, wish).await;
        if is_completion {
            // What was resolved without the members is not the resolution of the states that have them.
            *memory = Memory::default();
        }
        if is_completion && received.is_ok() {
            let anew = Receive {
                events: Vec::new(),
                occasion: Occasion::WholeStates,
            };
            received = take_all_in(place, &mut memory, version, anew).await;
        }
        let due = match &received {
            Ok(fates) => held::take_due(&context, &room_id, (fates, is_completion)),
            Err(_) => Vec::new(),
        };
        // Neither who brought the events nor who brings the next ones waits for receipts.
        drop(memory);
        let _ = port.send(received.map(RoomAnswer::Received));
        held::move_due(place, &room_id, due).await;
    });
}

async fn take_all_in(
    (myself, context): (&Myself<Room>, &RoomContext),
    memory: &mut Memory,
    version: Option<&RoomVersionId>,
    wish: Receive,
) -> Result<Fates, RoomError> {
    if wish.events.len() > EVENTS_MAX {
        return Err(RoomError::TooLarge);
    }
    for _ in 0..ATTEMPTS_MAX {
        let RoomAnswer::View(room, last) = myself.ask(RoomQuery::View).await? else {
            return Err(Unavailable::Stopped.into());
        };
        let archive = Archive {
            store: context.store.clone(),
            models: context.models.clone(),
        };
        let mut weighing = Weighing::new(History::new(room, last, archive), version)?;
        weighing.recall(memory);
        if let Occasion::PartialArrival(servers) = &wish.occasion {
            weighing.told_servers = Some(servers.clone());
        }
        let fates = weighing.weigh_all(&wish.events).await?;
        match &wish.occasion {
            Occasion::Past => weighing.end_past().await?,
            Occasion::Completion { join, state } => weighing.complete(join, state).await?,
            Occasion::WholeStates => weighing.resolve_anew().await?,
            Occasion::News | Occasion::PartialArrival(_) => {}
        }
        let learned = weighing.learned();
        let resets = weighing.record_resets(context.env.now_ms());
        let room_id = weighing.room.room_id.clone();
        let ends = weighing.room.extremities.len();
        let Some(take) = weighing.finish() else {
            return Ok(fates);
        };
        match myself.carry_out(RoomCommand::TakeIn(Box::new(take))).await {
            Ok(_) => {
                memory.keep(learned);
                report(&room_id, &resets);
                metrics::histogram!("playhouse_room_forward_extremities").record(ends as f64);
                fates.iter().for_each(|(_, fate)| count(fate));
                return Ok(fates);
            }
            Err(RoomError::Moved) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Unavailable::Overloaded.into())
}

fn count(fate: &Fate) {
    let fate = match fate {
        Fate::Accepted => "accepted",
        Fate::Known => "known",
        Fate::SoftFailed(_) => "soft_failed",
        Fate::Rejected(_) => "rejected",
        Fate::Unrecommended(_) => "unrecommended",
        Fate::Repeats(_) => "repeats",
        Fate::Wanting { .. } => "wanting",
    };
    metrics::counter!("playhouse_received_events_total", "fate" => fate).increment(1);
}

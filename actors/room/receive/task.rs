//! The task that takes in received events: weighs them on the room as it is, and has the room record them.

use std::sync::Arc;

use ruma::RoomVersionId;

use super::{EVENTS_MAX, Fates, Receive, weigh::Weighing};
use crate::{
    kernel::{Myself, Port, Resident, Unavailable},
    room::{
        Room, RoomAnswer, RoomCommand, RoomError, RoomQuery,
        context::RoomContext,
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
    ractor::concurrency::spawn(async move {
        let _turn = turn.lock().await;
        let received = take_all_in(&myself, &context, version.as_ref(), wish).await;
        let _ = port.send(received.map(RoomAnswer::Received));
    });
}

async fn take_all_in(
    myself: &Myself<Room>,
    context: &Arc<RoomContext>,
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
        let mut fates = Fates::with_capacity(wish.events.len());
        for event in &wish.events {
            let event_id = event.pdu.event_id.clone();
            fates.push((event_id, weighing.weigh(event.clone()).await?));
        }
        if wish.is_past {
            weighing.end_past().await?;
        }
        let Some(take) = weighing.finish() else {
            return Ok(fates);
        };
        match myself.carry_out(RoomCommand::TakeIn(Box::new(take))).await {
            Ok(_) => return Ok(fates),
            Err(RoomError::Moved) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Unavailable::Overloaded.into())
}

//! State that somebody sets ends the delayed events of others that would have set the same.

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, Verdict, kind},
    },
};
use serde::Deserialize;

use super::{
    errand::{Errand, Outcome, run_errands_as},
    members::{Passing, insist},
    task::{Running, Source, Stop, Stopped, inherit_position},
};
use crate::{
    delays::{DelayBoard, DelayCommand, DelayError, Delays, Target, schedule},
    kernel::Directory,
};

/// How often it is looked whether all schedules are awake.
const AWAKE_POLL: Duration = Duration::from_millis(20);

/// Its name among the cursors, where one looks after all schedules.
pub const NAME: &str = "overtaken";

/// Starts it, under a name and for these schedules. Where that name was not used before, it goes on where all schedules were looked after together.
pub async fn start(
    source: Source,
    (delays, board): (Arc<Directory<Delays>>, Arc<DelayBoard>),
    (name, schedules): (&'static str, Vec<u8>),
) -> Result<Running, StoreError> {
    inherit_position(&*source.0, (NAME, name), Family::Rooms).await?;
    let overtaken = Overtaken {
        delays,
        board,
        schedules,
    };
    run_errands_as(source, name, overtaken).await
}

struct Overtaken {
    delays: Arc<Directory<Delays>>,
    board: Arc<DelayBoard>,
    schedules: Vec<u8>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
}

/// Some state was set: which, by whom and when.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    target: Target,
    sender: String,
    at_ms: u64,
}

impl Passing for DelayError {
    fn is_passing(&self) -> bool {
        matches!(self, DelayError::Unavailable(_))
    }
}

impl Errand for Overtaken {
    const NAME: &'static str = NAME;
    const FAMILY: Family = Family::Rooms;
    type Subject = Set;

    fn subject(&self, stored: &StoredRecord) -> Option<Set> {
        if stored.kind != kind::EVENT || self.board.has_no_state(&self.schedules) {
            return None;
        }
        let RoomRecord::Event(event) = RoomRecord::decode(stored).ok()?? else {
            return None;
        };
        let counts = event.verdict == Verdict::Accepted && event.placement == Placement::Live;
        if !counts {
            return None;
        }
        let wire: Wire<'_> = serde_json::from_slice(&event.pdu).ok()?;
        let room_id = stored.entity.name().to_owned();
        let state_key = wire.state_key?.into_owned();
        Some(Set {
            target: (room_id, wire.event_type.into_owned(), state_key),
            sender: wire.sender.into_owned(),
            at_ms: stored.at_ms,
        })
    }

    fn run<'a>(
        &'a mut self,
        set: Set,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Outcome, Stopped>> {
        Box::pin(async move {
            // Right after the start not all schedules have been read yet.
            while !self.board.is_complete(&self.schedules) {
                if !stop.pause(AWAKE_POLL).await {
                    return Err(Stopped);
                }
            }
            let mut outcome = Ok(());
            for (number, delay_ids) in self.board.waiting_for(&set.target) {
                if !self.schedules.contains(&number) {
                    continue;
                }
                let overtake = || {
                    let command = DelayCommand::Overtake {
                        delay_ids: delay_ids.clone(),
                        sender: set.sender.clone(),
                        at_ms: set.at_ms,
                    };
                    self.delays.command(schedule(number), command)
                };
                if let Err(error) = insist(stop, overtake).await? {
                    outcome = Err(error.to_string());
                }
            }
            Ok(outcome)
        })
    }
}

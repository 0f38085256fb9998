//! Events that are sent later: asking for them, managing them, and how they get into their rooms.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use playhouse_schema::{address::Entity, record::room::Transaction};
use ruma::{RoomId, UserId, events::room::member::MembershipState};

use super::{House, HouseError, among::Among, surprise};
use crate::{
    delays::{
        DelayAnswer, DelayBoard, DelayCommand, DelayError, DelayQuery, DelayReply, DelaySignal,
        Delayed, Delays, NewDelay, Outcome, Outlet, SendTrouble, schedule, schedule_of,
        schedule_of_user,
    },
    followers::task::Running,
    kernel::{Directory, Place, Routes as _},
    room::{RoomError, message::SendEvent},
};

impl House {
    /// Sends an event later and gives the name under which it waits. Who may send what is judged when the time has come; but the sender must be in the room
    /// now. A repeat of a transaction is answered with the first one's name, and needs no content.
    pub async fn delay_event(&self, new: NewDelay) -> Result<String, HouseError> {
        let is_first = !new.content.is_empty();
        if is_first {
            self.must_be_joined(&new).await?;
        }
        let entity = schedule_of_user(&new.user_id);
        let command = DelayCommand::Schedule(Box::new(new));
        match self.delays.command(entity, command).await? {
            DelayReply::Scheduled(delay_id) => Ok(delay_id),
            _ => Err(surprise("Schedule")),
        }
    }

    async fn must_be_joined(&self, new: &NewDelay) -> Result<(), HouseError> {
        let ids = (RoomId::parse(&new.room_id), UserId::parse(&new.user_id));
        let (Ok(room_id), Ok(user_id)) = ids else {
            return Err(HouseError::InvalidParam("no such room ID".to_owned()));
        };
        match self.room_access(&room_id, &user_id).await {
            Ok(access) if access.membership == Some(MembershipState::Join) => Ok(()),
            Ok(_) | Err(HouseError::Room(RoomError::UnknownRoom)) => {
                Err(HouseError::Forbidden("you are not in this room".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// A user's delayed events: those that wait, and what became of the last ones.
    pub async fn delayed_events(&self, user_id: &UserId) -> Result<Vec<Arc<Delayed>>, HouseError> {
        let entity = schedule_of_user(user_id.as_str());
        let query = DelayQuery::List(user_id.to_string());
        match self.delays.query(entity, query).await? {
            DelayAnswer::List(list) => Ok(list),
            DelayAnswer::Ended(_) => Err(surprise("List")),
        }
    }

    /// One of a user's delayed events.
    pub async fn delayed_event(
        &self,
        user_id: &UserId,
        delay_id: &str,
    ) -> Result<Arc<Delayed>, HouseError> {
        let entity = named(delay_id)?;
        let query = DelayQuery::One(delay_id.to_owned());
        let found = match self.delays.query(entity, query).await? {
            DelayAnswer::List(list) => list.into_iter().next(),
            DelayAnswer::Ended(_) => return Err(surprise("One")),
        };
        found
            .filter(|delayed| delayed.scheduled.user_id == user_id.as_str())
            .ok_or_else(|| DelayError::Unknown.into())
    }

    /// Lets the delay of an event begin anew. Whoever knows the name may do that, and what follows.
    pub async fn restart_delayed_event(&self, delay_id: &str) -> Result<(), HouseError> {
        let command = DelayCommand::Restart(delay_id.to_owned());
        self.delays.command(named(delay_id)?, command).await?;
        Ok(())
    }

    /// Never sends it.
    pub async fn cancel_delayed_event(&self, delay_id: &str) -> Result<(), HouseError> {
        let command = DelayCommand::Cancel(delay_id.to_owned());
        self.delays.command(named(delay_id)?, command).await?;
        Ok(())
    }

    /// Sends it now, and tells how that went.
    pub async fn send_delayed_event(&self, delay_id: &str) -> Result<Outcome, HouseError> {
        let entity = named(delay_id)?;
        let command = DelayCommand::Depart(delay_id.to_owned());
        self.delays.command(entity.clone(), command).await?;
        let query = DelayQuery::Await(delay_id.to_owned());
        match self.delays.query(entity, query).await? {
            DelayAnswer::Ended(outcome) => Ok(outcome),
            DelayAnswer::List(_) => Err(surprise("Await")),
        }
    }

    /// Sends nothing of a user later any more.
    pub(super) async fn clear_delayed_events(&self, user_id: &UserId) -> Result<(), HouseError> {
        let entity = schedule_of_user(user_id.as_str());
        loop {
            let command = DelayCommand::Clear(user_id.to_string());
            if self.delays.command(entity.clone(), command).await? == DelayReply::Done {
                return Ok(());
            }
        }
    }
}

fn named(delay_id: &str) -> Result<Entity, HouseError> {
    schedule_of(delay_id).ok_or_else(|| DelayError::Unknown.into())
}

/// The rooms of a house as the schedules see them. The house comes to be after them.
#[derive(Default)]
pub(super) struct HouseOutlet(pub(super) OnceLock<Weak<House>>);

impl Outlet for HouseOutlet {
    fn send(&self, delayed: Arc<Delayed>) -> BoxFuture<'static, Result<String, SendTrouble>> {
        let house = self.0.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let house = house.ok_or(SendTrouble::Passing)?;
            deliver(&house, &delayed).await
        })
    }
}

async fn deliver(house: &House, delayed: &Delayed) -> Result<String, SendTrouble> {
    let scheduled = &delayed.scheduled;
    let ids = (
        RoomId::parse(&scheduled.room_id),
        UserId::parse(&scheduled.user_id),
    );
    let (Ok(room_id), Ok(sender)) = ids else {
        return Err(refusal("M_INVALID_PARAM", "no such room or user"));
    };
    let account = house.account(&sender).await;
    let account = account.map_err(|error| trouble(&error))?;
    if account.shadow_banned {
        return Ok(house.pretended_event_id());
    }
    let event = SendEvent {
        state_key: scheduled.state_key.clone(),
        // No client has a device of this name: it is the room that must know the event again.
        transaction: Some(Transaction {
            user_id: scheduled.user_id.clone(),
            device_id: "delayed events".to_owned(),
            transaction_id: format!("delayed:/{}", scheduled.delay_id),
        }),
        sticky_ms: scheduled.sticky_ms,
        guest: scheduled.guest,
        ..SendEvent::new(
            sender,
            scheduled.event_type.as_str().into(),
            scheduled.content.clone(),
        )
    };
    let sent = house.send_event(&room_id, event).await;
    sent.map(|event_id| event_id.to_string())
        .map_err(|error| trouble(&error))
}

fn refusal(errcode: &str, error: impl ToString) -> SendTrouble {
    SendTrouble::Refused {
        errcode: errcode.to_owned(),
        error: error.to_string(),
    }
}

fn trouble(error: &HouseError) -> SendTrouble {
    let errcode = match error {
        HouseError::Room(
            RoomError::Unavailable(_) | RoomError::Store(_) | RoomError::Broken(_),
        )
        | HouseError::Store(_)
        | HouseError::Broken(_)
        | HouseError::Lagging(_)
        | HouseError::Busy => return SendTrouble::Passing,
        HouseError::Room(RoomError::UnknownRoom | RoomError::NotFound) => "M_NOT_FOUND",
        HouseError::Room(RoomError::Forbidden(_)) | HouseError::Forbidden(_) => "M_FORBIDDEN",
        HouseError::Room(RoomError::GuestForbidden) => "M_GUEST_ACCESS_FORBIDDEN",
        HouseError::Room(RoomError::BadJson(_)) => "M_BAD_JSON",
        HouseError::Room(RoomError::NotJson(_)) => "M_NOT_JSON",
        HouseError::Room(RoomError::TooLarge) => "M_TOO_LARGE",
        HouseError::Room(RoomError::BadAlias(_)) => "M_BAD_ALIAS",
        HouseError::Room(RoomError::InvalidParam(_)) | HouseError::InvalidParam(_) => {
            "M_INVALID_PARAM"
        }
        _ => "M_UNKNOWN",
    };
    refusal(errcode, error)
}

/// Schedules that have something to do are looked after so often: one that ended by a failure wakes again.
const PULSE: Duration = Duration::from_secs(5);

/// Wakes all schedules of this node once, and keeps those awake that have something to do.
pub(super) fn keep_awake(
    (delays, board): (Arc<Directory<Delays>>, Arc<DelayBoard>),
    among: Option<&Among>,
) -> Running {
    let here = among.map(|among| (among.map().clone(), among.layout()));
    Running::start(|mut stop| {
        Box::pin(async move {
            let mut changes = here.as_ref().map(|(map, _)| map.changes());
            loop {
                let mut pending = board.pending();
                if let Some((map, layout)) = &here {
                    let is_here =
                        |number| map.place(layout.shard_of(&schedule(number))) == Place::Here;
                    pending.retain(|number| is_here(*number));
                }
                for number in pending {
                    delays.signal(&schedule(number), DelaySignal::Tick);
                }
                // A schedule that has come here is woken at once.
                let moved = async {
                    match &mut changes {
                        Some(changes) => drop(changes.changed().await),
                        None => std::future::pending().await,
                    }
                };
                let mut told = stop.clone();
                tokio::select! {
                    biased;
                    () = told.told() => return,
                    () = moved => {}
                    _ = stop.pause(PULSE) => {}
                }
            }
        })
    })
}

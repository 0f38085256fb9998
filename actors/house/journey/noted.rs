//! Joins as they are noted while they are under way: in the log, so that a restart goes on with them, and so that every node can tell of them and stop them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::Future,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::record::join::{JoinAbandoned, JoinBegun, JoinEnded, JoinProgress, JoinSent};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId};
use tokio::sync::Notify;

use super::{
    Journeys,
    handshake::{Finished, Journey, Setback},
};
use crate::{
    house::{House, HouseError},
    joins::{Join, JoinCommand, JoinError, JoinQuery, JoinsTold, joins},
    room::RoomError,
    user::UserError,
};

/// Of an answer with fewer events it is not noted how far it is taken in.
const NOTED_EVENTS_MIN: u64 = 1_000;

/// So often it is looked whether somebody wants a join cancelled whose server does not answer yet.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why nothing is to come of a join.
#[derive(Clone, Copy)]
pub(super) enum Why<'a> {
    /// It has failed.
    Failed,
    /// The user does not want in any more, or was sent away.
    Unwanted,
    /// This administrator wants it so.
    Cancelled(&'a str),
}

/// Which joins a node goes on with, and what is rung when something has changed for one.
pub(super) type Nudges = BTreeMap<(OwnedRoomId, OwnedUserId), Arc<Notify>>;

/// A join that this node goes on with. When that ends, it is looked whether anything is left to be done.
pub(super) struct Driven {
    driven: Arc<Mutex<Nudges>>,
    bell: Arc<Notify>,
    pair: (OwnedRoomId, OwnedUserId),
    /// Rung when a next attempt is to be made at once. It stays rung until somebody hears it.
    pub(super) nudge: Arc<Notify>,
}

impl Driven {
    /// Which one.
    pub(super) fn pair(&self) -> (&RoomId, &UserId) {
        (&self.pair.0, &self.pair.1)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.driven.lock().remove(&self.pair);
        self.bell.notify_one();
    }
}

impl Journeys {
    /// This node goes on with a join; `None` when it does so already.
    pub(super) fn drive(&self, room_id: &RoomId, user_id: &UserId) -> Option<Driven> {
        let pair = (room_id.to_owned(), user_id.to_owned());
        let nudge = Arc::<Notify>::default();
        match self.driven.lock().entry(pair.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(entry) => entry.insert(nudge.clone()),
        };
        Some(Driven {
            driven: self.driven.clone(),
            bell: self.bell.clone(),
            pair,
            nudge,
        })
    }

    /// Something has changed for a join: who goes on with it on this node does so at once.
    fn hurry(&self, room_id: &RoomId, user_id: &UserId) {
        let pair = (room_id.to_owned(), user_id.to_owned());
        if let Some(nudge) = self.driven.lock().get(&pair) {
            nudge.notify_one();
        }
        self.bell.notify_one();
    }
}

impl House {
    /// The joins that are under way through other servers, on all nodes. The events that were sent are left out.
    pub async fn joins_under_way(&self) -> Result<Vec<Join>, HouseError> {
        let JoinsTold(all) = self.journeys.joins.query(joins(), JoinQuery::All).await?;
        Ok(all)
    }

    /// Cancels a join that is under way: nothing more is sent for it, and if the user may be in the room already, the user leaves it. `RoomError::NotFound`
    /// when it is not under way.
    pub async fn cancel_join(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        by: &str,
    ) -> Result<Join, HouseError> {
        let join = self.noted_join(room_id, user_id).await?;
        let why = Why::Cancelled(by);
        self.abandon_join((room_id, user_id), why).await?;
        self.journeys.hurry(room_id, user_id);
        join.ok_or_else(|| RoomError::NotFound.into())
    }

    /// The user does not want in any more, or was sent away. Whether a join was under way.
    pub(in crate::house) async fn give_up_join(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<bool, HouseError> {
        match self.abandon_join((room_id, user_id), Why::Unwanted).await {
            Ok(()) => {
                self.journeys.hurry(room_id, user_id);
                Ok(true)
            }
            Err(HouseError::Room(RoomError::NotFound)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The user was sent away from a room, and is not to come in after all.
    pub(in crate::house) async fn give_up_join_of(&self, room_id: &RoomId, user_id: &UserId) {
        if !self.is_local(user_id.server_name()) {
            return;
        }
        if let Err(error) = self.give_up_join(room_id, user_id).await {
            tracing::warn!(%room_id, %user_id, %error, "a join is perhaps gone on with although the user was sent away");
        }
    }

    /// The user is in a room of this server's own accord: there is nothing to be gone on with any more. What an administrator has cancelled is looked at by who goes
    /// on with it.
    pub(in crate::house) async fn end_join_of(&self, room_id: &RoomId, user_id: &UserId) {
        let ended = match self.noted_join(room_id, user_id).await {
            Ok(Some(join)) if !join.is_cancelled() => {
                let ended = self.join_ended(room_id, (user_id, true));
                let noted = self.note_join(JoinCommand::EndAnyway(ended)).await;
                noted.map_err(HouseError::from)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%room_id, %user_id, %error, "it is not noted that a join has ended");
        }
    }

    /// A join that is under way.
    pub(super) async fn noted_join(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<Join>, HouseError> {
        let query = JoinQuery::One(room_id.to_string(), user_id.to_string());
        let JoinsTold(found) = self.journeys.joins.query(joins(), query).await?;
        Ok(found.into_iter().next())
    }

    async fn note_join(&self, command: JoinCommand) -> Result<(), JoinError> {
        self.journeys.joins.command(joins(), command).await
    }

    /// A user wants in.
    pub(super) async fn note_begun(
        &self,
        room_id: &RoomId,
        (user_id, guest): (&UserId, bool),
    ) -> Result<(), HouseError> {
        let begun = JoinBegun {
            room_id: room_id.to_string(),
            user_id: user_id.to_string(),
            guest,
            at_ms: self.env.now_ms(),
        };
        Ok(self.note_join(JoinCommand::Begin(begun)).await?)
    }

    /// A join is about to be sent to a server, which may let the user in although this server never hears of it.
    pub(super) async fn note_sent(
        &self,
        server: &ServerName,
        journey: &Journey,
        finished: &Finished,
    ) -> Result<(), HouseError> {
        let sent = JoinSent {
            room_id: journey.room_id.to_string(),
            user_id: journey.user_id.to_string(),
            server: server.to_string(),
            room_version: finished.version.to_string(),
            event_id: finished.event.event_id.to_string(),
            pdu: finished.event.json.get().as_bytes().to_vec().into(),
            needs_voucher: finished.needs_voucher,
            omit_members: journey.omit_members,
            at_ms: self.env.now_ms(),
        };
        Ok(self.note_join(JoinCommand::Send(Box::new(sent))).await?)
    }

    /// So many of the events that were answered are taken in. Refused when nothing is to come of the join.
    pub(super) async fn note_progress(
        &self,
        journey: &Journey,
        (events, of): (u64, u64),
    ) -> Result<(), HouseError> {
        if of < NOTED_EVENTS_MIN {
            if self.is_join_abandoned(journey).await? {
                return Err(JoinError::Abandoned.into());
            }
            return Ok(());
        }
        let progress = JoinProgress {
            room_id: journey.room_id.to_string(),
            user_id: journey.user_id.to_string(),
            events,
            of,
        };
        Ok(self.note_join(JoinCommand::Progress(progress)).await?)
    }

    /// A join has come to its end. Refused when the user is in and an administrator, or the user, does not want that.
    pub(super) async fn note_end(
        &self,
        room_id: &RoomId,
        (user_id, joined): (&UserId, bool),
    ) -> Result<(), HouseError> {
        let ended = self.join_ended(room_id, (user_id, joined));
        Ok(self.note_join(JoinCommand::End(ended)).await?)
    }

    /// A join has come to nothing, whoever wanted that.
    pub(super) async fn note_undone(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        let ended = self.join_ended(room_id, (user_id, false));
        Ok(self.note_join(JoinCommand::EndAnyway(ended)).await?)
    }

    fn join_ended(&self, room_id: &RoomId, (user_id, joined): (&UserId, bool)) -> JoinEnded {
        JoinEnded {
            room_id: room_id.to_string(),
            user_id: user_id.to_string(),
            joined,
            at_ms: self.env.now_ms(),
        }
    }

    /// Nothing is to come of a join, because somebody wants it so or because it has failed.
    pub(super) async fn abandon_join(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        why: Why<'_>,
    ) -> Result<(), HouseError> {
        let by = match why {
            Why::Cancelled(by) => Some(by.to_owned()),
            Why::Failed | Why::Unwanted => None,
        };
        let abandoned = JoinAbandoned {
            room_id: room_id.to_string(),
            user_id: user_id.to_string(),
            by,
            at_ms: self.env.now_ms(),
            unwanted: matches!(why, Why::Unwanted),
        };
        Ok(self.note_join(JoinCommand::Abandon(abandoned)).await?)
    }

    /// A join has failed. If a server may have let the user in all the same, the user is to leave there; where only this server was at fault, it is tried again
    /// until it succeeds.
    pub(super) async fn note_failure(
        &self,
        room_id: &RoomId,
        (user_id, in_doubt): (&UserId, bool),
        error: &HouseError,
    ) {
        let noted = if !in_doubt {
            self.note_end(room_id, (user_id, false)).await
        } else if is_passing(error) {
            return;
        } else {
            self.abandon_join((room_id, user_id), Why::Failed).await
        };
        if let Err(error) = noted {
            tracing::warn!(%room_id, %user_id, %error, "it is not noted that a join has failed");
        }
    }

    /// Waits for another server as long as nobody cancels the join.
    pub(super) async fn unless_cancelled<T, E>(
        &self,
        journey: &Journey,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Setback>
    where
        Setback: From<E>,
    {
        tokio::select! {
            asked = asking => Ok(asked?),
            () = self.cancelled(journey) => Err(Setback::House(JoinError::Abandoned.into())),
        }
    }

    async fn cancelled(&self, journey: &Journey) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if matches!(self.is_join_abandoned(journey).await, Ok(true)) {
                return;
            }
        }
    }

    async fn is_join_abandoned(&self, journey: &Journey) -> Result<bool, HouseError> {
        let join = self.noted_join(&journey.room_id, &journey.user_id).await?;
        Ok(join.is_some_and(|join| join.abandoned.is_some()))
    }
}

/// Whether this server itself could not go on, as it happens while it is closing.
pub(super) fn is_passing(error: &HouseError) -> bool {
    matches!(
        error,
        HouseError::Store(_)
            | HouseError::Busy
            | HouseError::Lagging(_)
            | HouseError::User(UserError::Unavailable(_))
            | HouseError::Room(RoomError::Unavailable(_) | RoomError::Store(_))
    )
}

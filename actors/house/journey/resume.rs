//! Joins that were cut short, by the end of this server or because another one did not answer: they are gone on with, or taken back.
//!
//! What was sent once is sent again, which changes nothing where it came to. When that fails too often, or when nothing is to come of the join, the servers that
//! may have let the user in are told that the user leaves.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use playhouse_schema::record::join::JoinSent;
use ruma::{
    CanonicalJsonObject, EventId, OwnedServerName, RoomId, RoomVersionId, ServerName, UserId,
    events::room::member::MembershipState,
};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::{
    handshake::{Finished, Journey, Setback},
    noted::Driven,
    outside::{is_waiting, told_by},
};
use crate::{
    followers::task::{Running, Stop},
    house::{House, HouseError, MemberWish, delays::HouseOutlet, peers::Patience},
    joins::Join,
    network::PeerError,
    room::{RoomError, message::MemberProfile, receive::sign::SignedPdu},
};

/// So often it is tried to go on with a join.
const ATTEMPTS_MAX: usize = 5;

/// So long is waited after a first attempt that came to nothing; twice as long after each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// No longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// A server that cannot be reached for so long, milliseconds, is not told any more that a user leaves.
const LEAVING_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// So often it is looked for joins that nobody goes on with: those of a node that has gone.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The house opens in a moment.
const SOON: Duration = Duration::from_millis(20);

/// Looks for joins that nobody goes on with, on one of the nodes.
#[derive(Clone)]
pub(in crate::house) struct Resumer {
    /// The way to the house.
    pub(in crate::house) outlet: Arc<HouseOutlet>,
    /// Rung when there may be one.
    pub(in crate::house) bell: Arc<Notify>,
}

/// What came of a leave at one server.
enum Left {
    /// It has taken it.
    Taken,
    /// It does not know of anything to be left.
    Refused,
    /// It may have to be told again.
    Unheard,
}

impl Resumer {
    /// Starts it.
    pub(in crate::house) fn start(self) -> Running {
        Running::start(|stop| Box::pin(self.run(stop)))
    }

    async fn run(self, stop: Stop) {
        loop {
            let house = self.outlet.0.get().and_then(Weak::upgrade);
            let pause = match house {
                Some(house) => {
                    house.go_on_with_joins().await;
                    LOOK_EVERY
                }
                None => SOON,
            };
            let mut told = stop.clone();
            tokio::select! {
                () = told.told() => return,
                () = self.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl House {
    /// Goes on with all joins with which nobody on this node does. Where another node does, it is waited until that has ended.
    async fn go_on_with_joins(self: &Arc<Self>) {
        if !self.env.network.is_on() {
            return;
        }
        let joins = match self.joins_under_way().await {
            Ok(joins) => joins,
            Err(error) => {
                tracing::warn!(%error, "joins that were cut short are not known");
                return;
            }
        };
        for join in joins {
            let begun = &join.begun;
            let pair = (RoomId::parse(&begun.room_id), UserId::parse(&begun.user_id));
            if let (Ok(room_id), Ok(user_id)) = pair
                && let Some(driven) = self.journeys.drive(&room_id, &user_id)
            {
                self.background(go_on_until_over(Arc::downgrade(self), driven));
            }
        }
    }

    /// One attempt. Whether there is nothing more to do.
    async fn go_on_with_join(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        attempt: usize,
    ) -> Result<bool, HouseError> {
        let turn = self.journeys.turns.of(room_id);
        let _turn = turn.lock().await;
        let _everywhere = self.alone_on_the_way(room_id).await?;
        let Some(join) = self.noted_join(room_id, user_id).await? else {
            return Ok(true);
        };
        if !join.is_cancelled() && self.is_in(room_id, user_id).await? {
            // The answer was taken in and only that not noted, or the user came in another way.
            self.settle_in((room_id, user_id), &join).await?;
            return Ok(true);
        }
        if join.sent.is_empty() {
            self.note_undone(room_id, user_id).await?;
            return Ok(true);
        }
        // Nothing closes the semaphore.
        let _place = self.journeys.places.acquire().await;
        // The room may have been blocked meanwhile, or the account closed.
        let may_enter = self.has_open_account(user_id).await?
            && !matches!(
                self.refuse_blocked(room_id).await,
                Err(HouseError::Forbidden(_))
            );
        if join.abandoned.is_none() && may_enter {
            let entered = self.enter_again((room_id, user_id), &join).await;
            let is_final = match entered {
                Ok(()) => {
                    self.settle_in((room_id, user_id), &join).await?;
                    return Ok(true);
                }
                Err(Setback::Peer(error)) => {
                    tracing::info!(%room_id, %user_id, %error, "a join that was cut short does not succeed");
                    is_final(&error)
                }
                Err(Setback::House(error)) => {
                    tracing::info!(%room_id, %user_id, %error, "a join that was cut short does not succeed");
                    false
                }
            };
            let now = self.noted_join(room_id, user_id).await?;
            let is_wanted = now.is_some_and(|join| join.abandoned.is_none());
            if is_wanted && !is_final && attempt < ATTEMPTS_MAX {
                return Ok(false);
            }
        }
        self.abandon_join((room_id, user_id), None).await?;
        self.take_back((room_id, user_id), &join).await
    }

    /// Whether a user of this server is in a room, as it is known here.
    async fn is_in(&self, room_id: &RoomId, user_id: &UserId) -> Result<bool, HouseError> {
        match self.room_access(room_id, user_id).await {
            Ok(access) => Ok(access.membership == Some(MembershipState::Join)),
            Err(HouseError::Room(RoomError::UnknownRoom)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The user is in: looks whether the user may stay, and ends the join.
    async fn settle_in(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
    ) -> Result<(), HouseError> {
        let size_is_known = join.sent.last().is_none_or(|sent| sent.omit_members);
        let guest = join.begun.guest;
        let may_stay = self
            .leave_unless_welcome((room_id, user_id), (guest, size_is_known))
            .await;
        let joined = may_stay.is_ok();
        tracing::info!(%room_id, %user_id, joined, "a join that was cut short has come to its end");
        self.note_end(room_id, (user_id, joined)).await
    }

    /// Sends again what was sent, the newest first.
    async fn enter_again(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
    ) -> Result<(), Setback> {
        let footing = self.footing(room_id, user_id).await?;
        let mut refused = None;
        let mut failed = None;
        for sent in join.sent.iter().rev() {
            let server = ServerName::parse(&sent.server).map_err(Setback::nonsense)?;
            let mut journey = leaving(room_id, user_id);
            journey.membership = MembershipState::Join;
            journey.omit_members = sent.omit_members;
            let entering = self.enter(&server, &journey, (finished(sent)?, &footing));
            match entering.await {
                Ok(()) => return Ok(()),
                Err(Setback::Peer(error)) if is_final(&error) => refused = Some(error),
                Err(Setback::Peer(error)) => failed = Some(error),
                Err(Setback::House(error)) => return Err(error.into()),
            }
        }
        match failed.or(refused) {
            Some(error) => Err(error.into()),
            None => Err(Setback::nonsense("nothing was sent")),
        }
    }

    /// Has the user leave wherever the join may have come to. Whether there is nothing more to do.
    async fn take_back(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
    ) -> Result<bool, HouseError> {
        if self.is_in(room_id, user_id).await? {
            let wish = MemberWish::of_oneself(room_id, user_id);
            match self.leave_here(wish).await {
                // The user may have been faster.
                Ok(()) | Err(HouseError::Room(RoomError::Forbidden(_))) => {}
                Err(error) => return Err(error),
            }
            self.note_undone(room_id, user_id).await?;
            return Ok(true);
        }
        let mut servers: Vec<OwnedServerName> = Vec::new();
        for sent in &join.sent {
            if let Ok(server) = ServerName::parse(&sent.server)
                && !servers.contains(&server)
            {
                servers.push(server);
            }
        }
        let mut is_over = true;
        for server in &servers {
            match self.leave_at(server, (room_id, user_id)).await? {
                Left::Taken => {
                    is_over = true;
                    break;
                }
                Left::Refused => {}
                Left::Unheard => is_over = false,
            }
        }
        let since_ms = join
            .abandoned
            .as_ref()
            .map_or(join.begun.at_ms, |it| it.at_ms);
        if !is_over && self.env.now_ms().saturating_sub(since_ms) < LEAVING_MS_MAX {
            return Ok(false);
        }
        if is_over {
            tracing::info!(%room_id, %user_id, "a join is taken back");
        } else {
            tracing::warn!(%room_id, %user_id, ?servers, "no server hears that a join is taken back");
        }
        self.note_undone(room_id, user_id).await?;
        Ok(true)
    }

    /// Tells a server that a user leaves whom it may have let in.
    async fn leave_at(
        &self,
        server: &ServerName,
        (room_id, user_id): (&RoomId, &UserId),
    ) -> Result<Left, HouseError> {
        let mut journey = leaving(room_id, user_id);
        let (profile, extra) = (MemberProfile::default(), (None, None));
        journey.content = Self::member_content(&journey.membership, profile, extra)?;
        let finished = match self.make_there(server, &journey).await {
            Ok(finished) => finished,
            Err(Setback::Peer(error)) if !is_final(&error) => return Ok(Left::Unheard),
            Err(_) => return Ok(Left::Refused),
        };
        let leave = (&finished, Patience::SHORT);
        let sent: Result<IgnoredAny, _> = self.send_there(server, &journey, leave).await;
        if let Err(error) = sent {
            tracing::info!(%server, %room_id, %error, "a server does not take a leave");
            return Ok(Left::Unheard);
        }
        // An invite or a knock has come to its end by this.
        let told = self.told_of(room_id, user_id).await?;
        if told.is_some_and(|told| is_waiting(&told)) {
            let record = told_by(&finished.event, &finished.version, Vec::new());
            self.tell(room_id, record).await?;
        }
        Ok(Left::Taken)
    }
}

/// Whether a server will not say anything else when it is asked again.
fn is_final(error: &PeerError) -> bool {
    matches!(
        error,
        PeerError::Denied
            | PeerError::Barred
            | PeerError::Refused {
                status: 400 | 403 | 404,
                ..
            }
    )
}

/// A journey out of a room.
fn leaving(room_id: &RoomId, user_id: &UserId) -> Journey {
    Journey {
        room_id: room_id.to_owned(),
        user_id: user_id.to_owned(),
        membership: MembershipState::Leave,
        content: CanonicalJsonObject::new(),
        omit_members: false,
    }
}

/// What was sent, as it was made.
fn finished(sent: &JoinSent) -> Result<Finished, Setback> {
    let version = RoomVersionId::try_from(sent.room_version.as_str()).map_err(Setback::nonsense)?;
    let rules = version.rules();
    let rules = rules.ok_or_else(|| Setback::nonsense("the room's version is unknown"))?;
    let json = String::from_utf8(sent.pdu.to_vec()).map_err(Setback::nonsense)?;
    Ok(Finished {
        version,
        rules,
        event: SignedPdu {
            event_id: EventId::parse(&sent.event_id).map_err(Setback::nonsense)?,
            json: RawValue::from_string(json).map_err(Setback::nonsense)?,
        },
        needs_voucher: sent.needs_voucher,
    })
}

async fn go_on_until_over(house: Weak<House>, driven: Driven) {
    let (room_id, user_id) = driven.pair();
    let mut pause = PAUSE_MIN;
    for attempt in 1.. {
        let Some(house) = house.upgrade() else {
            return;
        };
        match house.go_on_with_join((room_id, user_id), attempt).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%room_id, %user_id, %error, "a join that was cut short is not gone on with");
            }
        }
        let nudged = house.journeys.nudge.clone();
        drop(house);
        tokio::select! {
            () = nudged.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

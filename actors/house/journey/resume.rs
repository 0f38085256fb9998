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
    CanonicalJsonObject, EventId, RoomId, RoomVersionId, ServerName, UserId,
    events::room::member::MembershipState,
};
use serde_json::value::RawValue;
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::{
    ASKING_MAX, Alone, Line,
    handshake::{Finished, Journey, Setback},
    noted::{Driven, Why, is_passing},
};
use crate::{
    followers::task::{Running, Stop},
    house::{Held, House, HouseError, delays::HouseOutlet, peers::Patience},
    joins::Join,
    network::PeerError,
    room::{RoomError, receive::sign::SignedPdu},
};

/// So often it is tried to go on with a join.
const ATTEMPTS_MAX: usize = 5;

/// So long is waited after a first attempt that came to nothing, and when somebody else is on the way into the room; twice as long after each further attempt.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// No longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// A first attempt may take as long as other servers are asked for a join. So often the next one may take twice as long: that is little for some rooms, and some
/// servers take as long as they are given.
const DOUBLINGS_MAX: usize = 4;

/// A server is waited for so long at the first attempt, because others who want into the room wait meanwhile; twice as long at each further one, but no longer
/// than by somebody who joins.
const ANSWER_MIN: Duration = Duration::from_secs(60);

/// Who is on the way into the room from another node is waited for so long; then others go first.
const LOCK_WITHIN: Duration = Duration::from_secs(2);

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

/// What came of an attempt.
pub(super) enum Round {
    /// There is nothing more to do.
    Over,
    /// There is to be another one.
    Again,
    /// At once: it is to be taken back, or not any more.
    Next,
    /// There was none: somebody else is on the way into the room.
    Busy,
}

/// How often was tried what, since the join was begun the last time.
#[derive(Default)]
pub(super) struct Tries {
    begun_at_ms: u64,
    entering: usize,
    pauses: u32,
}

impl Tries {
    /// Begins again when the join was.
    fn follow(&mut self, join: &Join) {
        if self.begun_at_ms != join.begun.at_ms {
            *self = Self {
                begun_at_ms: join.begun.at_ms,
                ..Self::default()
            };
        }
    }

    /// How long a server may take to answer.
    fn patience(&self) -> Patience {
        let within = ANSWER_MIN * (1_u32 << self.entering.min(DOUBLINGS_MAX));
        Patience {
            within: within.min(Patience::LONG.within),
            ..Patience::LONG
        }
    }

    /// So long is waited before the next one.
    fn pause(&mut self) -> Duration {
        let pause = PAUSE_MIN.saturating_mul(1_u32 << self.pauses.min(16));
        self.pauses += 1;
        pause.min(PAUSE_MAX)
    }
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

/// A turn, and a place among those that are gone on with.
type Admitted<'a> = (Alone, Option<SemaphorePermit<'a>>);

impl House {
    /// Where a join waits.
    fn line_of(&self, join: &Join) -> &Line {
        match join.abandoned {
            Some(_) => &self.journeys.leaving,
            None => &self.journeys.entering,
        }
    }

    /// Waits for a place, and takes the turn; `None` when somebody else is on the way into the room.
    async fn admitted<'a>(
        &self,
        room_id: &RoomId,
        places: &'a Semaphore,
    ) -> Result<Option<Admitted<'a>>, HouseError> {
        // Before it is this one's turn: whoever waits for a place holds nobody up. Nothing closes the semaphore.
        let place = places.acquire().await.ok();
        let turn = self.journeys.turns.of(room_id.as_str());
        let Ok(turn) = turn.try_lock_owned() else {
            return Ok(None);
        };
        if self.desks.is_alone() {
            return Ok(Some(((Held::nothing(), turn), place)));
        }
        // Others go on while this one waits.
        drop(place);
        let Ok(held) = timeout(LOCK_WITHIN, self.alone_on_the_way(room_id)).await else {
            return Ok(None);
        };
        let held = held?;
        let place = places.try_acquire().ok();
        Ok(place.map(|place| ((held, turn), Some(place))))
    }

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

    /// One attempt.
    async fn go_on_with_join(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        tries: &mut Tries,
    ) -> Result<Round, HouseError> {
        let Some(before) = self.noted_join(room_id, user_id).await? else {
            return Ok(Round::Over);
        };
        let line = self.line_of(&before);
        let own = line.users.of(user_id.as_str());
        let _own = own.lock().await;
        let Some(_admitted) = self.admitted(room_id, &line.places).await? else {
            return Ok(Round::Busy);
        };
        let Some(join) = self.noted_join(room_id, user_id).await? else {
            return Ok(Round::Over);
        };
        if join.abandoned.is_some() != before.abandoned.is_some() {
            return Ok(Round::Next);
        }
        tries.follow(&join);
        if !join.is_unwanted() && self.is_in(room_id, user_id).await? {
            // The answer was taken in and only that not noted, or the user came in another way.
            self.settle_in((room_id, user_id), &join).await?;
            return Ok(Round::Over);
        }
        if join.sent.is_empty() {
            self.note_undone(room_id, user_id).await?;
            return Ok(Round::Over);
        }
        if join.abandoned.is_some() {
            return self.take_back(room_id, user_id).await;
        }
        if self.is_to_enter((room_id, user_id), &join).await? {
            let entered = self.try_to_enter((room_id, user_id), &join, tries);
            if let Some(round) = entered.await? {
                return Ok(round);
            }
        }
        self.abandon_join((room_id, user_id), Why::Failed).await?;
        Ok(Round::Next)
    }

    /// Whether a join is still wanted. The room may have been blocked meanwhile, or the account closed, or the user sent away.
    async fn is_to_enter(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
    ) -> Result<bool, HouseError> {
        if !self.has_open_account(user_id).await? {
            return Ok(false);
        }
        if let Err(HouseError::Forbidden(_)) = self.refuse_blocked(room_id).await {
            return Ok(false);
        }
        let told = self.told_of(room_id, user_id).await?;
        let is_sent_away = told.is_some_and(|told| {
            let at_ms = u64::from(told.event.pdu.origin_server_ts.0);
            let has_left = matches!(
                told.membership(),
                Some(MembershipState::Leave | MembershipState::Ban)
            );
            has_left && at_ms > join.begun.at_ms
        });
        // As the room itself knows it, if it is known here.
        let member = self.member_in_force(room_id, user_id).await?;
        let is_out = member.is_some_and(|member| member.has_left_after(join.begun.at_ms));
        Ok(!is_sent_away && !is_out)
    }

    /// One attempt to come in; `None` when there is not to be another one.
    async fn try_to_enter(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
        tries: &mut Tries,
    ) -> Result<Option<Round>, HouseError> {
        let within = ASKING_MAX * (1_u32 << tries.entering.min(DOUBLINGS_MAX));
        let again = self.enter_again((room_id, user_id), join, tries.patience());
        let entering = timeout(within, again);
        let entered = match entering.await {
            Ok(entered) => entered,
            Err(_) => Err(PeerError::TooSlow.into()),
        };
        let is_hopeless = match entered {
            Ok(()) => {
                self.settle_in((room_id, user_id), join).await?;
                return Ok(Some(Round::Over));
            }
            Err(Setback::Peer(error)) => {
                tracing::info!(%room_id, %user_id, %error, "a join that was cut short does not succeed");
                is_final(&error)
            }
            Err(Setback::Version(_)) => true,
            Err(Setback::House(error)) => {
                tracing::info!(%room_id, %user_id, %error, "a join that was cut short does not succeed");
                // That is nobody else's fault.
                if is_passing(&error) && !self.is_old(join) {
                    return Ok(Some(Round::Again));
                }
                false
            }
        };
        tries.entering += 1;
        let now = self.noted_join(room_id, user_id).await?;
        let is_wanted = now.is_some_and(|join| join.abandoned.is_none());
        let goes_on = is_wanted && !is_hopeless && tries.entering < ATTEMPTS_MAX;
        Ok(goes_on.then_some(Round::Again))
    }

    /// Whether a user of this server is in a room, as it is known here.
    pub(super) async fn is_in(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<bool, HouseError> {
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
        patience: Patience,
    ) -> Result<(), Setback> {
        let footing = self.footing(room_id, user_id).await?;
        let begun = Instant::now();
        let mut refused = None;
        let mut failed = None;
        let whole = join.sent.iter().filter(|sent| !sent.pdu.is_empty());
        for sent in whole.rev() {
            if begun.elapsed() > ASKING_MAX {
                break;
            }
            let is_next = failed.is_some() || refused.is_some();
            if is_next && self.journeys.turns.is_waited_for(room_id.as_str()) {
                // This one comes again, and that was no attempt.
                return Err(HouseError::Busy.into());
            }
            let server = ServerName::parse(&sent.server).map_err(Setback::nonsense)?;
            let journey = Journey {
                room_id: room_id.to_owned(),
                user_id: user_id.to_owned(),
                membership: MembershipState::Join,
                content: CanonicalJsonObject::new(),
                omit_members: sent.omit_members,
            };
            let how = (finished(sent)?, &footing);
            let entering = self.enter((&server, patience), &journey, how);
            match entering.await {
                Ok(()) => return Ok(()),
                Err(Setback::Peer(error)) if is_final(&error) => refused = Some(error),
                Err(Setback::Peer(error)) => failed = Some(error),
                Err(setback) => return Err(setback),
            }
        }
        match failed.or(refused) {
            Some(error) => Err(error.into()),
            None => Err(Setback::nonsense("nothing was sent")),
        }
    }
}

/// Whether a server will not say anything else when it is asked again.
pub(super) fn is_final(error: &PeerError) -> bool {
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
    let mut tries = Tries::default();
    loop {
        let Some(house) = house.upgrade() else {
            return;
        };
        let gone_on = house.go_on_with_join((room_id, user_id), &mut tries);
        let pause = match gone_on.await {
            Ok(Round::Over) => return,
            Ok(Round::Again) => tries.pause(),
            Ok(Round::Next) => continue,
            Ok(Round::Busy) => PAUSE_MIN,
            Err(error) => {
                tracing::warn!(%room_id, %user_id, %error, "a join that was cut short is not gone on with");
                if house.end_if_old(room_id, user_id).await {
                    return;
                }
                tries.pause()
            }
        };
        drop(house);
        tokio::select! {
            () = driven.nudge.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_too_slow_gets_more_time() {
        let mut tries = Tries::default();
        let mut within = |entering: usize| {
            tries.entering = entering;
            tries.patience().within
        };
        assert_eq!(within(0), ANSWER_MIN);
        assert_eq!(within(1), ANSWER_MIN * 2);
        assert_eq!(within(9), Patience::LONG.within);
    }
}

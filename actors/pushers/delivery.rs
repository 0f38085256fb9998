//! A delivery: one task for one user, from the first thing that waits until nothing does.
//!
//! Judges what happened once for all pushers of the user, and then pushes to each. The user is told of each push that was taken before the next one goes out.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use playhouse_schema::{
    address::{Entity, Position, Sequence, ShardNumber},
    record::user::PushesWait,
};
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::time::timeout;

use super::{
    Pushing,
    board::{Phase, Positions},
    body::Badge,
    http::Pushes,
    ledger::{Ledger, Reading},
    plan::{Target, Way, targets},
    slot::{Batch, Engaged, Slot, sooner},
};
use crate::{
    room::{event::RoomEvent, message::PushNames},
    server::Standing as Lane,
    user::{
        UserAnswer, UserCommand, UserError, UserQuery,
        feed::unread::{Judge, notices::Notice},
        hidden_invites::HiddenInvites,
        push_standing::{PushNote, RoomPositions},
    },
};

/// After trouble of our own it is tried again so much later.
const TROUBLE_WAIT_MS: u64 = 5_000;

/// When there is no place for those that fail, another one is looked for so much later.
const CROWDED_WAIT_MS: u64 = 60_000;

/// The clocks of nodes differ by less.
pub(super) const CLOCKS_APART_MS: u64 = 5_000;

/// Why a delivery ends early.
#[derive(Debug)]
pub(super) enum Halt {
    /// Trouble of our own: the store, a room, or the user.
    Trouble(String),
    /// The house closes, or the user has left this node.
    Closing,
}

impl<E: std::error::Error> From<E> for Halt {
    fn from(error: E) -> Self {
        Halt::Trouble(error.to_string())
    }
}

/// An event of which a user is to hear.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) room_id: OwnedRoomId,
    pub(super) sequence: Sequence,
    pub(super) shard: ShardNumber,
    pub(super) position: Position,
    /// When it was recorded, milliseconds since the Unix epoch.
    pub(super) recorded_ms: u64,
    pub(super) event: Arc<RoomEvent>,
    pub(super) notice: Notice,
    pub(super) is_invite: bool,
}

/// What is to be done for a pusher.
pub(super) enum Job {
    /// Nothing before this time (0: nothing at all).
    Later(u64),
    /// Push.
    Push {
        target: Target,
        pushes: Vec<Candidate>,
        /// It lagged behind, and does not any more afterwards.
        settles: bool,
    },
    /// Mail, if it is time.
    Mail {
        target: Target,
        unread: Vec<Candidate>,
    },
}

/// What rooms and senders are called.
pub(super) type Names = BTreeMap<OwnedRoomId, PushNames>;

/// See the module's documentation.
pub(super) struct Delivery {
    pub(super) pushing: Arc<Pushing>,
    pub(super) slot: Arc<Slot>,
    pub(super) user_id: OwnedUserId,
}

/// Starts a delivery.
pub(super) fn start(pushing: Arc<Pushing>, user_id: OwnedUserId, engaged: Engaged) {
    let delivery = Delivery {
        pushing,
        slot: engaged.0.clone(),
        user_id,
    };
    ractor::concurrency::spawn(async move {
        delivery.run().await;
        drop(engaged);
    });
}

impl Delivery {
    async fn run(&self) {
        match self.work().await {
            Ok(()) | Err(Halt::Closing) => {}
            Err(Halt::Trouble(error)) => {
                tracing::warn!(user_id = %self.user_id, error, "pushing interrupted");
                self.slot.put_back(self.now_ms() + TROUBLE_WAIT_MS);
            }
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.pushing.parts.env.now_ms()
    }

    async fn work(&self) -> Result<(), Halt> {
        let board = self.pushing.board();
        loop {
            self.go_on()?;
            if !self.slot.has_work(self.now_ms()) {
                return Ok(());
            }
            self.linger().await?;
            let (batch, from) = self.slot.take(|| board.positions());
            let next_ms = self.round(batch, &from).await?;
            self.slot.done(next_ms);
        }
    }

    /// Whether anything more should begin.
    pub(super) fn go_on(&self) -> Result<(), Halt> {
        if self.pushing.board().is_closing() || self.slot.is_gone() {
            return Err(Halt::Closing);
        }
        Ok(())
    }

    /// Waits a little by chance, if the operator wants that.
    async fn linger(&self) -> Result<(), Halt> {
        let jitter_ms = self.pushing.parts.settings.jitter_ms;
        if jitter_ms == 0 {
            return Ok(());
        }
        let chance = u64::from_be_bytes(self.pushing.parts.env.random_bytes());
        let wait = std::time::Duration::from_millis(chance % (jitter_ms + 1));
        let closing = self.pushing.board().reaches(Phase::Closing);
        if timeout(wait, closing).await.is_ok() {
            return Err(Halt::Closing);
        }
        Ok(())
    }

    /// Deals with what came, and with what it is time for. When there is something to try again.
    async fn round(&self, batch: Batch, from: &Positions) -> Result<u64, Halt> {
        let mut targets = self.targets().await?;
        if let Some(flood) = &batch.flood {
            self.lag_all(&mut targets, flood).await?;
        }
        let numbers = targets.iter().map(|target| target.number).collect();
        let assured = self.slot.assured(&numbers);
        for target in &mut targets {
            let is_open = !assured.contains(&target.number);
            target.is_unsure |= is_open && batch.leaves_unsure(&target.standing);
        }
        // From here on a room that does not answer or a gateway that is slow hold nobody's position up.
        if targets.iter().all(|target| target.standing.lag.is_some()) {
            self.slot.let_go();
        }
        self.postpone(&mut targets);
        let ledger = self.slot.take_ledger();
        // Nothing is counted for those who rest: all of it is, once their time comes.
        let rests: Option<Vec<u64>> = targets.iter().map(|target| self.rests(target)).collect();
        if let Some(rests) = rests {
            return Ok(rests.into_iter().fold(0, sooner));
        }
        let permit = self.pushing.judging.acquire().await?;
        let reading = self.reading().await?;
        let mut ledger = self.ledger(ledger, &batch, &reading).await?;
        let live = self.live(&mut ledger, &batch, &reading).await?;
        let mut jobs = Vec::with_capacity(targets.len());
        for target in targets {
            let job = self.job(target, (&live[..], from), (&mut *ledger, &reading));
            jobs.push(job.await?);
        }
        let by_room = self.pushing.parts.settings.group_unread_count_by_room;
        let badge = ledger.badge(by_room);
        let names = self.names(&jobs).await?;
        drop(permit);
        let serving = jobs.into_iter();
        let serving: Vec<_> = serving
            .map(|job| self.serve(job, (badge, &names), from))
            .collect();
        let mut next_ms = 0;
        for served in join_all(serving).await {
            next_ms = sooner(next_ms, served?);
        }
        self.slot.keep_ledger(ledger, self.now_ms());
        Ok(next_ms)
    }

    /// Where many gateways fail, a user's pushers that answer do not stand in the queue with one that does not.
    fn postpone(&self, targets: &mut [Target]) {
        if targets.len() < 2 || !self.pushing.lanes.is_full(Lane::Dead) {
            return;
        }
        let until_ms = self.now_ms() + CROWDED_WAIT_MS;
        let fails = |target: &&mut Target| {
            target.standing.failures > 0 && matches!(target.way, Way::Http(_))
        };
        for target in targets.iter_mut().filter(fails) {
            let standing = Arc::make_mut(&mut target.standing);
            standing.next_ms = standing.next_ms.max(until_ms);
        }
    }

    /// Until when a pusher rests, whatever happens meanwhile.
    fn rests(&self, target: &Target) -> Option<u64> {
        target.standing.lag.as_ref()?;
        let now_ms = self.now_ms();
        let next_ms = target.standing.next_ms;
        let until_ms = match target.way {
            Way::Http(_) => next_ms,
            Way::Mail(_) => {
                let delay_ms = self.pushing.parts.settings.mails.delay_ms;
                let due_ms = self.slot.mail_due(target.number)?;
                // What is news now may be due sooner.
                (due_ms <= now_ms + delay_ms).then_some(due_ms.max(next_ms))?
            }
        };
        (until_ms > now_ms).then_some(until_ms)
    }

    /// The user's pushers that are switched on.
    async fn targets(&self) -> Result<Vec<Target>, Halt> {
        let board = self.pushing.board();
        let mails = self.pushing.parts.settings.postman.mails();
        let mut is_struck = false;
        loop {
            let book = match self.ask(UserQuery::PusherBook).await {
                Ok(UserAnswer::PusherBook(book)) => *book,
                Ok(_) => return Err(Halt::Trouble("no fitting answer to PusherBook".to_owned())),
                // Whose account is closed has no pushers.
                Err(UserError::Deactivated | UserError::UnknownUser) => Default::default(),
                Err(error) => return Err(error.into()),
            };
            if !book.pushers.is_empty() {
                board.enrol(&self.user_id);
                return Ok(targets(&book, mails));
            }
            if is_struck {
                return Ok(Vec::new());
            }
            // A pusher may be set just now: whoever is struck off is looked at once more, and not struck off again after that.
            board.strike(&self.user_id);
            is_struck = true;
        }
    }

    pub(super) async fn ask(&self, query: UserQuery) -> Result<UserAnswer, UserError> {
        let entity = Entity::user(self.user_id.as_str());
        self.pushing.parts.users.query(entity, query).await
    }

    /// Tells the user what became of a push.
    pub(super) async fn note(&self, note: PushNote) -> Result<(), Halt> {
        let entity = Entity::user(self.user_id.as_str());
        let command = UserCommand::NotePush(Box::new(note));
        match self.pushing.parts.users.command(entity, command).await {
            Ok(_) | Err(UserError::Deactivated | UserError::UnknownUser) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn reading(&self) -> Result<Reading, Halt> {
        let UserAnswer::Judging(rules, ignored) = self.ask(UserQuery::Judging).await? else {
            return Err(Halt::Trouble("no fitting answer to Judging".to_owned()));
        };
        let hidden = match self.ask(UserQuery::HiddenInvites).await {
            Ok(UserAnswer::HiddenInvites(hidden)) => hidden,
            // Whose account is closed meanwhile has no invites.
            Err(UserError::Deactivated | UserError::UnknownUser) => HiddenInvites::default(),
            Ok(_) => {
                let trouble = "no fitting answer to HiddenInvites";
                return Err(Halt::Trouble(trouble.to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Reading {
            hidden,
            sources: self.pushing.parts.sources.clone(),
            judge: Arc::new(Judge {
                user_id: self.user_id.clone(),
                rules,
                ignored,
            }),
        })
    }

    /// What the user has not seen, brought up to what is taken now.
    async fn ledger(
        &self,
        known: Option<Box<Ledger>>,
        batch: &Batch,
        reading: &Reading,
    ) -> Result<Box<Ledger>, Halt> {
        let mut at_least = Positions::new();
        for dirty in batch.rooms.values() {
            let known = at_least.entry(dirty.last.shard.number).or_default();
            *known = dirty.last.position.max(*known);
        }
        // With a flood anything may have happened that is nowhere told. Other rules count otherwise, also where nothing happened.
        let known = known.filter(|_| batch.flood.is_none());
        let known = known.and_then(|mut known| {
            let is_good = known.goes_by(reading);
            is_good.then_some(known)
        });
        let Some(mut ledger) = known else {
            return Ok(Box::new(Ledger::open(reading, &at_least).await?));
        };
        if batch.rooms.values().any(|dirty| dirty.moves) {
            ledger.follow_memberships(reading, &at_least).await?;
        }
        Ok(ledger)
    }

    /// All pushers that are up to date lag behind these positions from now on.
    async fn lag_all(&self, targets: &mut [Target], from: &Positions) -> Result<(), Halt> {
        let up_to_date = |target: &&mut Target| target.standing.lag.is_none();
        for target in targets.iter_mut().filter(up_to_date) {
            let lag = listed(from);
            self.note(PushNote::Waits(PushesWait {
                pusher: target.number,
                lag: lag.clone(),
            }))
            .await?;
            Arc::make_mut(&mut target.standing).lag = Some(Arc::new(lag));
        }
        Ok(())
    }

    /// What is to be done for a pusher.
    async fn job(
        &self,
        target: Target,
        (live, from): (&[Candidate], &Positions),
        (ledger, reading): (&mut Ledger, &Reading),
    ) -> Result<Job, Halt> {
        if matches!(target.way, Way::Mail(_)) {
            return self.mail_job(target, (live, from), (ledger, reading)).await;
        }
        let Some(lag) = target.standing.lag.clone() else {
            let pushes = for_target(&target, live);
            return Ok(Job::Push {
                pushes: super::catch_up::thinned(pushes, super::catch_up::SINGLE_MAX),
                target,
                settles: false,
            });
        };
        if target.standing.next_ms > self.now_ms() {
            return Ok(Job::Later(target.standing.next_ms));
        }
        let give_up_ms = self.pushing.parts.settings.give_up_ms;
        let since_ms = self.now_ms().saturating_sub(give_up_ms);
        let unread = self.behind((&target, &lag), (ledger, reading)).await?;
        let waiting = unread.len();
        let fresh = unread.into_iter();
        let fresh: Vec<_> = fresh.filter(|one| one.recorded_ms >= since_ms).collect();
        if fresh.len() < waiting {
            let given_up = (waiting - fresh.len()) as u64;
            metrics::counter!("playhouse_pushes_given_up_total").increment(given_up);
            tracing::warn!(user_id = %self.user_id, app_id = target.app_id, given_up, "pushes are too old, and given up");
        }
        Ok(Job::Push {
            pushes: super::catch_up::thinned(fresh, 0),
            target,
            settles: true,
        })
    }

    async fn serve(
        &self,
        job: Job,
        (badge, names): (Badge, &Names),
        from: &Positions,
    ) -> Result<u64, Halt> {
        match job {
            Job::Later(next_ms) => Ok(next_ms),
            Job::Mail { target, unread } => self.mail(&target, &unread, names).await,
            Job::Push {
                target,
                pushes,
                settles,
            } => {
                let Way::Http(gateway) = &target.way else {
                    return Ok(0);
                };
                let told = (pushes.as_slice(), badge, names);
                let pushed = self.push_all((&target, gateway), told).await?;
                let lag = (!settles).then_some(from);
                match pushed {
                    Pushes::Taken if settles => self.settle(&target).await.map(|()| 0),
                    Pushes::Taken | Pushes::Rejected => Ok(0),
                    Pushes::Failed(trouble) => self.fail(&target, &trouble, lag).await,
                }
            }
        }
    }
}

/// Those events that a pusher has not heard of.
pub(super) fn for_target(target: &Target, events: &[Candidate]) -> Vec<Candidate> {
    let events = events.iter().filter(|event| {
        let pushed = target.standing.pushed.get(event.room_id.as_str());
        pushed.is_none_or(|(pushed, _)| event.sequence > *pushed)
            && event.recorded_ms + CLOCKS_APART_MS >= target.made_ms
    });
    events.cloned().collect()
}

pub(super) fn listed(positions: &Positions) -> RoomPositions {
    let positions = positions.iter();
    positions.map(|(number, at)| (*number, *at)).collect()
}

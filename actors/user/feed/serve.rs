//! Serving syncs: at once, when something happens, or when their time is up.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedDeviceId, presence::PresenceState};

use super::{
    Early, Feed, FeedNews, FeedSignal, account::Account, home::Home, load, wait::SyncPort,
    wait::Waiter,
};
use crate::user::{
    UserAnswer, UserError, UserSignal,
    message::{SyncQuery, ToDeviceIndex},
    sliding,
    sync::{self, Built, Outcome, filter::SyncFilter, plan::Plan, request, request::Request},
};

/// No sync waits longer.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

/// A token that tells of more than this node has heard of waits so long.
const AHEAD_WAIT: Duration = Duration::from_secs(10);

/// So many filters are kept as read.
const FILTERS_MAX: usize = 16;

impl Early {
    /// Answers with an error.
    pub(super) fn refuse(self, error: UserError) {
        let (Early::Sync(_, port)
        | Early::Slide(_, port)
        | Early::Rooms(port)
        | Early::KeyChanges(_, _, port)) = self;
        let _ = port.send(Err(error));
    }
}

impl Feed {
    pub(super) fn answer_early(&mut self, account: &Arc<dyn Account>, early: Early) {
        match early {
            Early::Sync(query, port) => self.sync(account, &query, port),
            Early::Slide(query, port) => self.slide(account, *query, port),
            Early::Rooms(port) => {
                let rooms = self
                    .rooms
                    .iter()
                    .filter(|(room_id, entry)| !entry.is_forgotten(room_id, &**account))
                    .map(|(room_id, entry)| (room_id.clone(), entry.membership.clone()));
                let _ = port.send(Ok(UserAnswer::Rooms(rooms.collect())));
            }
            Early::KeyChanges(from, to, port) => self.key_changes(account, (&from, &to), port),
        }
    }

    fn sync(&mut self, account: &Arc<dyn Account>, query: &SyncQuery, port: SyncPort) {
        let Some(home) = self.home.clone() else {
            return;
        };
        let timeout = Duration::from_millis(query.timeout_ms).min(TIMEOUT_MAX);
        let request = self
            .filter(query.filter.as_deref(), account)
            .and_then(|filter| {
                let deadline = tokio::time::Instant::now() + timeout;
                Request::read(query, home.sources.layout(), filter, deadline)
            });
        let mut request = match request {
            Ok(request) => request,
            Err(error) => {
                let _ = port.send(Err(error));
                return;
            }
        };
        if self.turn_back(&home, &mut request) {
            home.owner.drop_one_time_keys(request.device_id.clone());
        }
        if let Some(since) = &request.since
            && account.keeps_to_device(&request.device_id, since.to_device)
        {
            home.owner
                .acknowledge(request.device_id.clone(), since.to_device);
        }
        let state = query.set_presence.clone();
        self.note_presence(account, &home, (&request.device_id, state));
        if request.filter.is_lazy() {
            let since = request.since_word.as_deref();
            self.memory
                .begin(&request.device_id, request.filter_word.as_deref(), since);
        }
        let is_last = timeout.is_zero() || self.is_closing || request.is_immediate();
        self.admit(account, &home, Waiter::new(request, port, is_last));
    }

    /// A sync says how the user is.
    pub(super) fn note_presence(
        &mut self,
        account: &Arc<dyn Account>,
        home: &Home,
        (device_id, state): (&OwnedDeviceId, Option<PresenceState>),
    ) {
        let now_ms = home.env.now_ms();
        if let Some(presence) = self.presence.synced(device_id, state, now_ms) {
            self.announce_presence(presence);
            self.serve(account);
        }
        self.watch_presence();
    }

    /// Whether a token tells of own records that the log does not have: then the database was restored from a backup. What the client has seen
    /// since then is lost, so it goes on from here; and one-time keys that stand in the log as unclaimed may have been given out.
    pub(super) fn turn_back(&self, home: &Home, request: &mut Request) -> bool {
        let Some(since) = &mut request.since else {
            return false;
        };
        if since.own <= self.durable {
            return false;
        }
        since.own = self.durable;
        since.to_device = since.to_device.min(ToDeviceIndex {
            sequence: self.durable,
            partial: 0,
        });
        let announced = home.board.device_positions();
        for (shard, known) in &mut since.devices {
            *known = announced.get(shard).copied().unwrap_or(0).min(*known);
        }
        true
    }

    /// Lets a sync in; one with a token from the future waits first.
    pub(super) fn admit(
        &mut self,
        account: &Arc<dyn Account>,
        home: &Arc<Home>,
        mut waiter: Waiter,
    ) {
        let since = waiter.request.since.as_ref();
        if !since.is_some_and(|since| load::is_behind(home, since)) {
            self.start(account, waiter);
            return;
        }
        let home = home.clone();
        self.building += 1;
        ractor::concurrency::spawn(async move {
            let admitted = match &mut waiter.request.since {
                Some(since) => load::come_up_to(&home, since, AHEAD_WAIT).await,
                None => Ok(()),
            };
            let waiter = FeedNews::Ahead(Box::new(waiter), admitted);
            home.tell(UserSignal::Feed(Box::new(FeedSignal(waiter))));
        });
    }

    pub(super) fn ahead(
        &mut self,
        account: &Arc<dyn Account>,
        waiter: Waiter,
        admitted: Result<(), UserError>,
    ) {
        self.building = self.building.saturating_sub(1);
        match admitted {
            Ok(()) => self.start(account, waiter),
            Err(error) => drop(waiter.port.send(Err(error))),
        }
    }

    fn filter(
        &mut self,
        word: Option<&str>,
        account: &Arc<dyn Account>,
    ) -> Result<Arc<SyncFilter>, UserError> {
        let name = word.unwrap_or("");
        if let Some(filter) = self.filters.get(name) {
            return Ok(filter.clone());
        }
        let filter = Arc::new(request::find_filter(word, &**account)?);
        if self.filters.len() >= FILTERS_MAX {
            self.filters.pop_first();
        }
        self.filters.insert(name.to_owned(), filter.clone());
        Ok(filter)
    }

    /// Answers a sync, or lets it wait if it may and there is nothing to tell.
    pub(super) fn start(&mut self, account: &Arc<dyn Account>, mut waiter: Waiter) {
        let Some(home) = self.home.clone() else {
            return;
        };
        waiter.is_last |= self.is_closing || waiter.request.deadline <= tokio::time::Instant::now();
        if waiter.request.sliding.is_some() {
            self.start_sliding(account, &home, waiter);
            return;
        }
        if !waiter.is_last && !sync::news::has_news(self, &**account, &waiter.request) {
            self.park(account, &home, waiter);
            return;
        }
        let plan = Plan::make(self, account, &home, &waiter.request);
        if plan.is_direct() {
            let outcome = sync::build::build_direct(&plan);
            self.finish(account, Built::new(waiter, Ok(outcome)));
            return;
        }
        self.building += 1;
        ractor::concurrency::spawn(async move {
            let outcome = sync::build::build(&plan).await;
            let mut built = Built::new(waiter, outcome);
            built.is_counted = true;
            let built = FeedNews::Built(Box::new(built));
            home.tell(UserSignal::Feed(Box::new(FeedSignal(built))));
        });
    }

    pub(super) fn park(&mut self, account: &Arc<dyn Account>, home: &Arc<Home>, waiter: Waiter) {
        let number = self.waiters.next_number();
        let (home, deadline) = (home.clone(), waiter.request.deadline);
        let timer = ractor::concurrency::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            home.tell(UserSignal::SyncDue(number));
        });
        if let Some(mut oldest) = self.waiters.park(waiter, timer.abort_handle()) {
            oldest.is_last = true;
            self.start(account, oldest);
        }
    }

    /// An answer is ready.
    pub(super) fn finish(&mut self, account: &Arc<dyn Account>, built: Built) {
        if built.is_counted {
            self.building = self.building.saturating_sub(1);
        }
        let mut waiter = built.waiter;
        let outcome = match built.outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let _ = waiter.port.send(Err(error));
                return;
            }
        };
        let Outcome {
            body,
            next,
            slid,
            is_empty,
            members,
            tallies,
            devices,
        } = outcome;
        for read in tallies {
            if let Some(entry) = self.rooms.get_mut(&read.room_id) {
                let end = (read.until, read.is_complete);
                entry.unread.replace(read.tally, end, read.epoch);
            }
        }
        if let Some((after, changes)) = devices {
            self.devices.found(&after, changes);
        }
        if is_empty && !waiter.is_last && !self.is_closing {
            // All of the interval was unwanted: it is told, and the sync waits for what follows it.
            match (&mut waiter.request.sliding, slid) {
                (Some(sliding), Some(slid)) => sliding.looked = Some(Box::new(slid.pos)),
                _ => waiter.request.since = Some(next),
            }
            self.start(account, waiter);
            return;
        }
        if waiter.request.remembers_members() {
            let layout = self.layout();
            let word = match &slid {
                Some(slid) => slid.pos.write(layout),
                None => next.write(layout),
            };
            self.memory
                .sent(&waiter.request.memory_key(), word, members);
        }
        match slid {
            Some(slid) => self.release(waiter, body, *slid),
            None => drop(waiter.port.send(Ok(UserAnswer::Synced(body)))),
        }
    }

    fn layout(&self) -> playhouse_schema::address::Layout {
        self.home
            .as_ref()
            .map_or_else(Default::default, |home| home.sources.layout())
    }

    /// Something has happened: answers the syncs that have something to tell now.
    pub(super) fn serve(&mut self, account: &Arc<dyn Account>) {
        if self.waiters.is_empty() {
            return;
        }
        let mut waiters = std::mem::take(&mut self.waiters);
        let ready = waiters.take_if(|request| match request.sliding {
            Some(_) => sliding::news::has_news(self, &**account, request),
            None => sync::news::has_news(self, &**account, request),
        });
        self.waiters = waiters;
        for waiter in ready {
            self.start(account, waiter);
        }
    }

    /// The server is shutting down.
    pub(super) fn close(&mut self, account: &Arc<dyn Account>) {
        self.is_closing = true;
        for mut waiter in self.waiters.take_all() {
            waiter.is_last = true;
            self.start(account, waiter);
        }
    }

    fn key_changes(&mut self, account: &Arc<dyn Account>, words: (&str, &str), port: SyncPort) {
        let Some(home) = self.home.clone() else {
            return;
        };
        let plan = match Plan::for_keys(self, account, &home, words) {
            Ok(plan) => plan,
            Err(error) => {
                let _ = port.send(Err(error));
                return;
            }
        };
        ractor::concurrency::spawn(async move {
            let changes = sync::build::key_changes(&plan).await;
            let answer = changes.map(|changes| UserAnswer::KeyChanges {
                changed: changes.changed.into_iter().collect(),
                left: changes.left.into_iter().collect(),
            });
            let _ = port.send(answer);
        });
    }
}

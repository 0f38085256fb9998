//! Sliding syncs in the feed: understood, given what lists go by, planned, and answered when what must be kept is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use ruma::{OwnedRoomId, RoomId};

use super::{
    Feed, FeedNews, FeedSignal,
    account::Account,
    home::Home,
    serve::TIMEOUT_MAX,
    wait::{SyncPort, Waiter},
};
use crate::{
    room::{
        RoomAnswer, RoomQuery,
        message::{Reader, RoomGlance},
    },
    user::{
        UserAnswer, UserError, UserSignal,
        message::ToDeviceIndex,
        sliding::{
            self, Pos, Slid, Sliding, extensions::read_index, plan::SlidingPlan,
            request::SlidingQuery,
        },
        sync::{Built, build, request::Request},
    },
};

/// So many rooms are asked at once what lists go by.
const ROOMS_AT_ONCE: usize = 64;

/// So many spaces may be filtered by in one request.
const SPACES_MAX: usize = 100;

/// What rooms said for lists.
#[derive(Debug, Default)]
pub(crate) struct Glimpsed {
    /// With the epochs in which they were asked.
    glances: Vec<(OwnedRoomId, u64, Arc<RoomGlance>)>,
    children: BTreeMap<OwnedRoomId, BTreeSet<OwnedRoomId>>,
}

impl Feed {
    /// Takes in a sliding sync.
    pub(super) fn slide(
        &mut self,
        account: &Arc<dyn Account>,
        query: SlidingQuery,
        port: SyncPort,
    ) {
        let Some(home) = self.home.clone() else {
            return;
        };
        let mut request = match self.understand(&**account, &home, query) {
            Ok(request) => request,
            Err(error) => {
                let _ = port.send(Err(error));
                return;
            }
        };
        let turned_back = self.turn_back(&home, &mut request);
        let Some(sliding) = &mut request.sliding else {
            return;
        };
        if turned_back {
            home.owner.drop_one_time_keys(request.device_id.clone());
            sliding.data = sliding.data.min(self.durable);
            sliding.threads = sliding.threads.min(self.durable);
        }
        sliding.to_device = sliding.to_device.min(ToDeviceIndex {
            sequence: self.durable,
            partial: u64::MAX,
        });
        let received = sliding.to_device;
        if account.keeps_to_device(&request.device_id, received) {
            home.owner.acknowledge(request.device_id.clone(), received);
        }
        let state = sliding.query.set_presence.clone();
        self.note_presence(account, &home, (&request.device_id, state));
        let since = request.since_word.as_deref();
        self.memory.begin(&request.memory_key(), None, since);
        let is_last = sliding_timeout(&request).is_zero() || self.is_closing;
        let is_last = is_last || request.is_immediate();
        self.admit(account, &home, Waiter::new(request, port, is_last));
    }

    fn understand(
        &self,
        account: &dyn Account,
        home: &Home,
        query: SlidingQuery,
    ) -> Result<Request, UserError> {
        query.request.check()?;
        let pos = match query.pos.as_deref() {
            Some(word) => {
                let pos = Pos::parse(word, home.sources.layout());
                Some(pos.ok_or(UserError::UnknownPos)?)
            }
            None => None,
        };
        let base = match &pos {
            Some(pos) => {
                let name = query.request.connection();
                let rooms = account.connection(&query.device_id, name, pos.version);
                Some((pos.version, rooms.ok_or(UserError::UnknownPos)?))
            }
            None => None,
        };
        let wish = &query.request.extensions.to_device;
        let to_device = match wish.since.as_deref().filter(|_| wish.enabled == Some(true)) {
            Some(word) => read_index(word)
                .ok_or_else(|| UserError::InvalidParam("to_device: unknown since".into()))?,
            None => ToDeviceIndex::default(),
        };
        let timeout = Duration::from_millis(query.timeout_ms).min(TIMEOUT_MAX);
        let deadline = tokio::time::Instant::now() + timeout;
        let query = Arc::new(query);
        let sliding = Sliding {
            query: query.clone(),
            base,
            data: pos.as_ref().map_or(0, |pos| pos.data),
            threads: pos.as_ref().map_or(0, |pos| pos.threads),
            to_device,
            looked: None,
            children: BTreeMap::new(),
        };
        let since = pos.map(|pos| pos.token);
        Ok(Request::slide(&query, sliding, since, deadline))
    }

    /// Answers a sliding sync, or lets it wait if it may and there is nothing to tell.
    pub(super) fn start_sliding(
        &mut self,
        account: &Arc<dyn Account>,
        home: &Arc<Home>,
        waiter: Waiter,
    ) {
        if !waiter.is_last && !sliding::news::has_news(self, &**account, &waiter.request) {
            self.park(account, home, waiter);
            return;
        }
        let unknown = self.unknown(&**account, &waiter.request);
        let spaces = spaces(&waiter.request);
        if unknown.is_empty() && spaces.is_empty() {
            self.answer_sliding(account, home, waiter);
            return;
        }
        let home = home.clone();
        self.building += 1;
        ractor::concurrency::spawn(async move {
            let glimpsed = glimpse(&home, unknown, spaces).await;
            let news = FeedNews::Glimpsed(Box::new(waiter), Box::new(glimpsed));
            home.tell(UserSignal::Feed(Box::new(FeedSignal(news))));
        });
    }

    /// Rooms have said what lists go by.
    pub(super) fn glimpsed(
        &mut self,
        account: &Arc<dyn Account>,
        mut waiter: Waiter,
        glimpsed: Glimpsed,
    ) {
        self.building = self.building.saturating_sub(1);
        for (room_id, epoch, glance) in glimpsed.glances {
            if let Some(entry) = self.rooms.get_mut(&room_id) {
                entry.glimpse.learn(glance, epoch);
            }
        }
        if let Some(sliding) = &mut waiter.request.sliding {
            sliding.children = glimpsed.children;
        }
        let Some(home) = self.home.clone() else {
            return;
        };
        waiter.is_last |= self.is_closing;
        // What became void meanwhile stands as unknown in this answer and is asked for the next one.
        self.answer_sliding(account, &home, waiter);
    }

    fn answer_sliding(&mut self, account: &Arc<dyn Account>, home: &Arc<Home>, waiter: Waiter) {
        let Some(plan) = SlidingPlan::make(self, account, home, &waiter.request) else {
            return;
        };
        if plan.plan.is_direct() {
            let outcome = sliding::write::write(&plan, build::gather_direct(&plan.plan));
            self.finish(account, Built::new(waiter, Ok(outcome)));
            return;
        }
        let home = home.clone();
        self.building += 1;
        ractor::concurrency::spawn(async move {
            let gathered = build::gather(&plan.plan).await;
            let outcome = gathered.map(|gathered| sliding::write::write(&plan, gathered));
            let mut built = Built::new(waiter, outcome);
            built.is_counted = true;
            let built = FeedNews::Built(Box::new(built));
            home.tell(UserSignal::Feed(Box::new(FeedSignal(built))));
        });
    }

    /// The rooms of lists of which is not known what lists go by.
    fn unknown(&self, account: &dyn Account, request: &Request) -> Vec<(OwnedRoomId, u64)> {
        let Some(sliding) = &request.sliding else {
            return Vec::new();
        };
        let asked = &sliding.query.request;
        let all = !asked.lists.is_empty();
        self.rooms
            .iter()
            .filter(|(room_id, entry)| {
                sliding::list::is_listed(self, account, (room_id, entry))
                    && entry.glimpse.known().is_none()
                    && (all || asked.room_subscriptions.contains_key(*room_id))
            })
            .map(|(room_id, entry)| (room_id.clone(), entry.glimpse.epoch()))
            .collect()
    }

    /// Sends an answer when what it stands on is durable.
    pub(super) fn release(&self, waiter: Waiter, body: bytes::Bytes, slid: Slid) {
        let Some(home) = self.home.clone() else {
            return;
        };
        let Some(kept) = slid.kept else {
            let _ = waiter.port.send(Ok(UserAnswer::Synced(body)));
            return;
        };
        let committed = home.owner.keep(kept);
        ractor::concurrency::spawn(async move {
            let answer = committed.await.map(|()| UserAnswer::Synced(body));
            let _ = waiter.port.send(answer);
        });
    }
}

fn sliding_timeout(request: &Request) -> Duration {
    let sliding = request.sliding.as_ref();
    sliding.map_or(Duration::ZERO, |sliding| {
        Duration::from_millis(sliding.query.timeout_ms)
    })
}

/// The spaces by which a request filters and whose children are not known yet.
fn spaces(request: &Request) -> BTreeSet<OwnedRoomId> {
    let Some(sliding) = &request.sliding else {
        return BTreeSet::new();
    };
    let lists = sliding.query.request.lists.values();
    lists
        .filter_map(|list| list.filters.as_ref()?.spaces.as_ref())
        .flatten()
        .take(SPACES_MAX)
        .cloned()
        .collect()
}

/// Asks rooms what lists go by. One that does not answer stands at the end of lists, without a name.
async fn glimpse(
    home: &Home,
    unknown: Vec<(OwnedRoomId, u64)>,
    spaces: BTreeSet<OwnedRoomId>,
) -> Glimpsed {
    let questions: Vec<_> = unknown
        .into_iter()
        .map(|(room_id, epoch)| {
            async move {
                let query = RoomQuery::Glance {
                    user_id: home.user_id.clone(),
                };
                let glance = match home.sources.ask_room(&room_id, query).await {
                    Ok(RoomAnswer::Glance(glance)) => Arc::from(glance),
                    Ok(_) => Arc::default(),
                    Err(error) => {
                        tracing::warn!(%room_id, %error, "room without a glance in lists");
                        Arc::default()
                    }
                };
                (room_id, epoch, glance)
            }
            .boxed()
        })
        .collect();
    let mut answers = stream::iter(questions).buffer_unordered(ROOMS_AT_ONCE);
    let mut glimpsed = Glimpsed::default();
    while let Some(glance) = answers.next().await {
        glimpsed.glances.push(glance);
    }
    drop(answers);
    for space in spaces {
        let children = children(home, &space).await;
        glimpsed.children.insert(space, children);
    }
    glimpsed
}

/// The children of a space, for somebody who is in it.
async fn children(home: &Home, space: &RoomId) -> BTreeSet<OwnedRoomId> {
    let reader = Reader {
        user_id: home.user_id.clone(),
        device_id: None,
        ignored: Vec::new(),
        forgotten: None,
        sees_all: false,
    };
    let members = RoomQuery::JoinedMembers {
        reader: Some(reader),
    };
    if home.sources.ask_room(space, members).await.is_err() {
        return BTreeSet::new();
    }
    let query = RoomQuery::Children {
        suggested_only: false,
    };
    match home.sources.ask_room(space, query).await {
        Ok(RoomAnswer::Children(children)) => {
            children.into_iter().map(|child| child.room_id).collect()
        }
        _ => BTreeSet::new(),
    }
}

//! Runs the read models: folds every record into their tables, in order, and tells how far each has come.

mod abroad;
mod fold;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    models::{
        AnyModel, Model as _,
        parked::{self, Parked},
        public_rooms::PublicRooms,
        room_facts::RoomFacts,
        user_names::UserNames,
    },
    port::{LogStore, ModelStore, StoreError},
};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::Instant,
};

pub use self::abroad::Abroad;
use self::{
    abroad::{News, URGED_MS},
    fold::Fold,
};
use super::{
    bookmark::by_number,
    rebuild::refold,
    task::{PROGRAM, Running, Source, parked_before},
};
use crate::{
    cluster::{Duty, duty::shard_of_name, roles},
    room::context::Folded,
    writers::Tail,
};

/// A query waits so long at most for a model that lags.
const REACHED_WITHIN: Duration = Duration::from_secs(10);

/// A model has not come far enough in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read model lags behind")]
pub struct Lagging;

/// A fold as those see it who wait for it.
struct Reached {
    /// How far it has come: a position per shard number.
    told: watch::Sender<Vec<Position>>,
    urge: Urge,
    /// One looks into the database for all who wait.
    looking: Mutex<()>,
    /// When somebody who does not wait last had it looked at, by the clock of `urge`.
    looked_ms: AtomicU64,
}

impl Reached {
    fn new(positions: Vec<Position>) -> Arc<Self> {
        Arc::new(Self {
            told: watch::Sender::new(positions),
            urge: Urge::default(),
            looking: Mutex::default(),
            looked_ms: AtomicU64::new(0),
        })
    }

    /// Whether it has not been looked at for so long; then it is now.
    fn is_look_due(&self, every_ms: u64) -> bool {
        let now_ms = self.urge.now_ms();
        let due = |last_ms: u64| (now_ms >= last_ms.saturating_add(every_ms)).then_some(now_ms);
        let looked = &self.looked_ms;
        looked
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, due)
            .is_ok()
    }

    /// It has come at least so far.
    fn come_to(&self, positions: &[Position]) {
        self.told.send_if_modified(|told| {
            let mut has_moved = false;
            for (told, position) in told.iter_mut().zip(positions) {
                has_moved |= *told < *position;
                *told = (*told).max(*position);
            }
            has_moved
        });
    }
}

/// Whether somebody waits for a fold: then it is patient no more.
struct Urge {
    waiting: AtomicUsize,
    more: Notify,
    started: Instant,
    /// Somebody waits until then whose waiting is not counted, milliseconds since `started`.
    felt_ms: AtomicU64,
    /// The fold is done here.
    is_here: AtomicBool,
}

impl Default for Urge {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            more: Notify::new(),
            started: Instant::now(),
            felt_ms: AtomicU64::new(0),
            is_here: AtomicBool::new(false),
        }
    }
}

impl Urge {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Somebody waits whose waiting is not counted.
    fn feel_for(&self, for_ms: u64) {
        let until_ms = self.now_ms().saturating_add(for_ms);
        self.felt_ms.fetch_max(until_ms, Ordering::AcqRel);
        self.more.notify_one();
    }

    fn is_felt(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
            || self.now_ms() < self.felt_ms.load(Ordering::Acquire)
    }
}

/// Somebody who waits for a fold.
struct Waiting<'a>(&'a Urge);

impl<'a> Waiting<'a> {
    fn begin(urge: &'a Urge) -> Self {
        urge.waiting.fetch_add(1, Ordering::AcqRel);
        urge.more.notify_one();
        Self(urge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The read models of a node.
pub struct Models {
    tail: Arc<Tail>,
    log: Arc<dyn LogStore>,
    store: Arc<dyn ModelStore>,
    /// By model and family.
    folds: BTreeMap<(&'static str, Family), Arc<Reached>>,
    /// The names of their tables, by model.
    tables: BTreeMap<&'static str, &'static str>,
    running: Vec<Running>,
    abroad: Option<Abroad>,
    news: Option<Arc<News>>,
}

/// What one model is folded with.
#[derive(Clone)]
struct Folding {
    source: Source,
    model: Arc<dyn AnyModel>,
    families: Vec<(Family, Arc<Reached>)>,
    news: Option<Arc<News>>,
}

impl Models {
    /// Creates what tables are missing and starts all folds, each from where it was: one task for each model and family.
    pub async fn start(
        store: Arc<dyn LogStore>,
        tail: Arc<Tail>,
        models: Vec<Box<dyn AnyModel>>,
    ) -> Result<Self, StoreError> {
        Self::start_among((store, tail), models, None).await
    }

    /// As [`Models::start`], where there may be other nodes: then each model is folded by one of them, and the others hear how far it has come.
    pub async fn start_among(
        source: Source,
        models: Vec<Box<dyn AnyModel>>,
        abroad: Option<Abroad>,
    ) -> Result<Self, StoreError> {
        let (store, tail) = source.clone();
        let news = abroad.as_ref().map(|_| Arc::<News>::default());
        let mut started = Self {
            tail,
            store: store.models(),
            log: store.clone(),
            folds: BTreeMap::new(),
            tables: BTreeMap::new(),
            running: Vec::new(),
            abroad,
            news: news.clone(),
        };
        for model in models {
            let model: Arc<dyn AnyModel> = model.into();
            started.store.create(model.creation()).await?;
            started.tables.insert(model.name(), model.table());
            let mut families = Vec::new();
            for family in model.reads() {
                let from = started.store.cursors(model.table(), *family).await?;
                let reached = Reached::new(by_number(&*store, &from));
                families.push((*family, reached.clone()));
                started.folds.insert((model.name(), *family), reached);
            }
            let folding = Folding {
                source: source.clone(),
                model,
                families,
                news: news.clone(),
            };
            match &started.abroad {
                None => started.running.extend(folding.begin().await?),
                Some(abroad) => started.running.push(folding.whenever_here(abroad)),
            }
        }
        if let (Some(abroad), Some(news)) = (&started.abroad, news) {
            started.running.push(abroad.tell(news));
        }
        Ok(started)
    }

    /// The database in which the models are asked.
    pub fn store(&self) -> &Arc<dyn ModelStore> {
        &self.store
    }

    /// Waits until a model has taken in a position of a shard.
    pub async fn reached(
        &self,
        model: &'static str,
        shard: Shard,
        position: Position,
    ) -> Result<(), Lagging> {
        let wanted = [(shard.number, position)];
        self.wait_for((model, shard.family), &wanted).await
    }

    /// Waits until a model has taken in everything that this node, or any other, has committed up to now.
    pub async fn caught_up(&self, model: &'static str) -> Result<(), Lagging> {
        let folds = self.folds.keys().filter(|(name, _)| *name == model);
        for fold in folds {
            let wanted = self.heads(fold.1).await?;
            self.wait_for(*fold, &wanted).await?;
        }
        Ok(())
    }

    /// The same of some shards alone: others may be in a database that is away. Which of them tell how far they are, and are taken in.
    pub async fn caught_up_in(
        &self,
        fold: (&'static str, Family),
        meant: &[ShardNumber],
    ) -> Result<Vec<ShardNumber>, Lagging> {
        let mut wanted = self.known_heads(fold.1).await?;
        wanted.retain(|(number, _)| meant.contains(number));
        self.wait_for(fold, &wanted).await?;
        Ok(wanted.into_iter().map(|(number, _)| number).collect())
    }

    /// The same for all models.
    pub async fn all_caught_up(&self) -> Result<(), Lagging> {
        for model in self.tables.keys().copied() {
            self.caught_up(model).await?;
        }
        Ok(())
    }

    /// How far the log is: all of it, or nobody knows.
    async fn heads(&self, family: Family) -> Result<Vec<(ShardNumber, Position)>, Lagging> {
        let known = self.known_heads(family).await?;
        if known.len() < usize::from(self.log.layout().shards) {
            return Err(Lagging);
        }
        Ok(known)
    }

    /// How far the log is where that is told.
    async fn known_heads(&self, family: Family) -> Result<Vec<(ShardNumber, Position)>, Lagging> {
        if self.abroad.is_none() {
            let numbers = 0..self.log.layout().shards;
            let head = |number| (number, self.tail.head(Shard { family, number }));
            return Ok(numbers.map(head).collect());
        }
        let known = self.log.known_heads(family).await.map_err(|error| {
            tracing::warn!(%family, %error, "cannot read heads");
            Lagging
        })?;
        if let Some(error) = &known.trouble {
            tracing::warn!(%family, shards = ?known.silent, %error, "cannot read heads of some shards");
        }
        let heads = known.heads.iter();
        Ok(heads
            .map(|head| (head.shard.number, head.position))
            .collect())
    }

    async fn wait_for(
        &self,
        fold: (&'static str, Family),
        wanted: &[(ShardNumber, Position)],
    ) -> Result<(), Lagging> {
        let reached = self.folds.get(&fold).ok_or(Lagging)?;
        if is_enough(&reached.told.borrow(), wanted) {
            return Ok(());
        }
        let _waiting = Waiting::begin(&reached.urge);
        let mut positions = reached.told.subscribe();
        let comes = async {
            let come = positions.wait_for(|positions| is_enough(positions, wanted));
            come.await.is_ok()
        };
        let hints = async {
            match &self.abroad {
                Some(abroad) => self.look_abroad(abroad, fold, reached).await,
                None => std::future::pending().await,
            }
        };
        let waited = async {
            tokio::select! {
                has_come = comes => has_come,
                () = hints => false,
            }
        };
        match tokio::time::timeout(REACHED_WITHIN, waited).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => {
                tracing::warn!(model = fold.0, family = %fold.1, "a read model does not come after the log");
                Err(Lagging)
            }
        }
    }

    /// What models and followers could not take in, at most `limit` records.
    pub async fn parked(&self, limit: usize) -> Result<Vec<Parked>, StoreError> {
        parked::all(&*self.store, limit).await
    }

    /// How much is parked.
    pub async fn parked_count(&self) -> Result<u64, StoreError> {
        parked::count(&*self.store).await
    }

    /// Ends all folds.
    pub async fn stop(&self, within: Duration) {
        let deadline = Instant::now() + within;
        for running in &self.running {
            let left = deadline.saturating_duration_since(Instant::now());
            running.stop(left).await;
        }
    }
}

impl Folded for Models {
    fn folded(&self, model: &'static str, shard: Shard) -> Position {
        let reached = self.folds.get(&(model, shard.family));
        let positions = reached.map(|reached| reached.told.borrow());
        let at = positions.and_then(|positions| positions.get(usize::from(shard.number)).copied());
        at.unwrap_or(0)
    }

    fn urge(&self, model: &'static str, family: Family) {
        let Some(reached) = self.folds.get(&(model, family)) else {
            return;
        };
        reached.urge.feel_for(URGED_MS);
        if let Some(abroad) = &self.abroad {
            abroad.urge((model, family));
            self.look_now_and_then((model, family), reached);
        }
    }
}

fn is_enough(positions: &[Position], wanted: &[(ShardNumber, Position)]) -> bool {
    wanted.iter().all(|(number, position)| {
        let at = positions.get(usize::from(*number));
        at.is_some_and(|at| at >= position)
    })
}

/// The models that people look through.
const DIRECTORIES: [&str; 3] = [UserNames::NAME, PublicRooms::NAME, RoomFacts::NAME];

/// What a node must be for to fold a model.
fn role_of(model: &str) -> &'static str {
    if DIRECTORIES.contains(&model) {
        roles::DIRECTORY
    } else {
        roles::BACKGROUND
    }
}

impl Folding {
    /// Folds from where the database is.
    async fn begin(self) -> Result<Vec<Running>, StoreError> {
        retry(&*self.source.0, &*self.model).await?;
        let mut running = Vec::new();
        for (family, reached) in self.families {
            let parts = (self.source.clone(), self.model.clone(), reached);
            let fold = Fold::open(parts, family, self.news.clone()).await?;
            running.push(Running::start(|stop| Box::pin(fold.run(stop))));
        }
        Ok(running)
    }

    /// Folds whenever it falls to this node.
    fn whenever_here(self, abroad: &Abroad) -> Running {
        let (name, routes) = (self.model.name(), abroad.routes.clone());
        let family = self.families.first().map(|(family, _)| *family);
        let layout = self.source.0.layout();
        let duty = Duty {
            name,
            shard: shard_of_name(layout, family.unwrap_or(Family::Rooms), name),
            role: Some(role_of(name)),
            begin: Arc::new(
                move || -> BoxFuture<'static, Result<Vec<Running>, StoreError>> {
                    Box::pin(self.clone().begin())
                },
            ),
        };
        Running::start(|mut stop| Box::pin(async move { duty.attend(routes, stop.told()).await }))
    }
}

/// Looks at what another program has parked. When this one understands a record of it, the model is folded again from the whole log before it is asked
/// anything: what came after that record was folded without it, and the order of records matters.
async fn retry(store: &dyn LogStore, model: &dyn AnyModel) -> Result<(), StoreError> {
    let database = store.models();
    let mut kept = Vec::new();
    for parked in parked_before(store, model.table()).await? {
        let Some(record) = parked.record(store).await? else {
            kept.push(parked.release());
            continue;
        };
        match model.changes(&record) {
            Ok(_) => {
                tracing::warn!(model = model.name(), shard = %parked.shard, position = parked.position, "a parked record is understood now, the model is folded again");
                refold(store, model, &mut |_| {}).await?;
                return Ok(());
            }
            Err(error) => {
                kept.push(Parked::new(model.table(), &record, PROGRAM, &error).park());
            }
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    database.apply(kept, Vec::new()).await
}

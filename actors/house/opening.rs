//! What a house is opened from: its directories, and what they share.

use std::sync::Arc;

use parking_lot::Mutex;
use playhouse_schema::{
    models::{AnyModel, Model as _, all, message_search::MessageSearch},
    port::{LogStore, StoreError},
};
use tokio::sync::Notify;

use super::{
    HouseConfig,
    active_users::ActiveDesk,
    admins::Admins,
    alone::Mark,
    among::Among,
    delays::HouseOutlet,
    gateway::GatewayOffice,
    outboxes::{self, Outboxes},
    purges::PurgeBells,
    tenants::Boards,
};
use crate::{
    active_users::ActiveContext,
    alias::Alias,
    backup::Backup,
    cluster::roles,
    delays::{DelayBoard, DelayContext, Delays},
    externals::External,
    followers::{
        feeds::{self, board::FeedBoard, sources::HouseSources},
        models::Models,
        task::Running,
    },
    joins::Joins,
    kernel::{Directory, DirectoryLimits, Domain, Log, Served, Ways},
    media::{Media, ledger::QuarantineLedger},
    oauth::Oauth,
    passes::Passes,
    peer_keys::PeerKeys,
    purges::{BlockBoard, Purges},
    pushers::{self, PushBoard},
    registration::Registration,
    reports::Reports,
    room::{Room, context::RoomContext},
    server::{Lanes, ServerContext},
    threepid::Threepid,
    user::{NoPushers, PusherEar, SessionCache, User, UserContext},
    writers::{Pools, Tail},
};

/// The models that are wanted.
fn models(config: &HouseConfig) -> Vec<Box<dyn AnyModel>> {
    let mut models = all();
    models.retain(|model| config.search || model.name() != MessageSearch::NAME);
    if !config.env.network.is_on() {
        models.retain(|model| !outboxes::MODELS.contains(&model.name()));
    }
    models
}

/// What keeps the feeds of this node's users up to date.
pub(super) fn feeds_followed(
    board: &Arc<FeedBoard>,
    tail: &Arc<Tail>,
    sources: Arc<HouseSources>,
) -> Vec<Running> {
    vec![
        feeds::follow_rooms(board.clone(), tail),
        feeds::follow_devices(board.clone(), tail, sources),
    ]
}

pub(super) fn sources(
    rooms: &Arc<Directory<Room>>,
    store: &Arc<dyn LogStore>,
    models: &Arc<Models>,
) -> Arc<HouseSources> {
    Arc::new(HouseSources {
        rooms: rooms.clone(),
        store: store.clone(),
        models: models.clone(),
    })
}

pub(super) fn room_context(
    config: &HouseConfig,
    store: &Arc<dyn LogStore>,
    (board, models): (&Arc<FeedBoard>, &Arc<Models>),
) -> RoomContext {
    RoomContext {
        env: config.env.clone(),
        store: store.clone(),
        retention: config.retention,
        typing: board.clone(),
        models: models.clone(),
        held_receipts: Default::default(),
    }
}

pub(super) fn user_context(
    config: &HouseConfig,
    store: &Arc<dyn LogStore>,
    (sessions, board, sources): (&Arc<SessionCache>, &Arc<FeedBoard>, &Arc<HouseSources>),
    pushes: Option<&Arc<PushBoard>>,
) -> UserContext {
    let pushers: Arc<dyn PusherEar> = match pushes {
        Some(board) => board.clone(),
        None => Arc::new(NoPushers),
    };
    UserContext {
        env: config.env.clone(),
        store: store.clone(),
        limits: config.user_limits.clone(),
        sessions: sessions.clone(),
        board: board.clone(),
        sources: sources.clone(),
        pushers,
    }
}

/// What all actors stand on.
pub(super) struct Ground {
    pub(super) store: Arc<dyn LogStore>,
    pub(super) pools: Arc<Pools>,
    pub(super) among: Option<Among>,
    pub(super) mark: Option<Mark>,
    pub(super) board: Arc<FeedBoard>,
    pub(super) models: Arc<Models>,
    pub(super) opening: Opening,
}

impl Ground {
    /// Opens the writers, and what only they must be there for.
    pub(super) async fn lay(
        store: Arc<dyn LogStore>,
        config: &HouseConfig,
    ) -> Result<Self, StoreError> {
        let among = Among::of(&store, config)?;
        // Before anything is taken.
        let mark = Mark::leave(&*store, config).await?;
        let limits = (config.writers, among.is_none());
        let pools = Pools::open_among(store.clone(), config.env.clone(), limits).await?;
        let tail = pools.tail();
        if let Some(among) = &among {
            tail.relay_to(among.relay());
        }
        let board = feeds::open_board(&*store, &config.presence_observers).await?;
        let abroad = among.as_ref().map(Among::abroad);
        let models = Models::start_among((store.clone(), tail), models(config), abroad);
        let models = Arc::new(models.await?);
        let ways = among.as_ref().map_or(Ways::Alone, Among::ways);
        let opening = Opening::of(&store, &pools, ways);
        Ok(Self {
            store,
            pools,
            among,
            mark,
            board,
            models,
            opening,
        })
    }
}

/// The directories of actors that need nothing but the environment.
pub(super) struct Desks {
    pub(super) aliases: Arc<Directory<Alias>>,
    pub(super) backups: Arc<Directory<Backup>>,
    pub(super) media: Arc<Directory<Media>>,
    pub(super) quarantine: Arc<Directory<QuarantineLedger>>,
    pub(super) registration: Arc<Directory<Registration>>,
    pub(super) active: ActiveDesk,
    pub(super) admins: Admins,
    pub(super) reports: Arc<Directory<Reports>>,
    pub(super) passes: Arc<Directory<Passes>>,
    pub(super) oauth: Arc<Directory<Oauth>>,
    pub(super) threepids: Arc<Directory<Threepid>>,
    pub(super) externals: Arc<Directory<External>>,
    pub(super) peer_keys: Arc<Directory<PeerKeys>>,
    pub(super) volatile: super::Desks,
}

/// The schedules of delayed events, the outboxes of the push gateway and the lists of purges and of joins that are under way, and what they share with the
/// rest of the house.
pub(super) struct Later {
    pub(super) delays: Arc<Directory<Delays>>,
    pub(super) gateway: Arc<GatewayOffice>,
    pub(super) purges: Arc<Directory<Purges>>,
    pub(super) blocks: Arc<BlockBoard>,
    pub(super) purge_bells: Arc<PurgeBells>,
    pub(super) joins: Arc<Directory<Joins>>,
    pub(super) join_bell: Arc<Notify>,
    pub(super) board: Arc<DelayBoard>,
    pub(super) outlet: Arc<HouseOutlet>,
}

impl Later {
    /// What is known of shards outside of these actors.
    pub(super) fn boards(&self) -> Boards {
        Boards {
            delays: self.board.clone(),
            gateway: self.gateway.board().clone(),
            blocks: self.blocks.clone(),
        }
    }
}

/// What every directory needs.
pub(super) struct Opening {
    store: Arc<dyn LogStore>,
    log: Arc<dyn Log>,
    ways: Ways,
    /// Those that were opened.
    served: Mutex<Vec<Arc<dyn Served>>>,
}

impl Opening {
    pub(super) fn of(store: &Arc<dyn LogStore>, pools: &Arc<Pools>, ways: Ways) -> Self {
        Self {
            store: store.clone(),
            log: pools.clone(),
            ways,
            served: Mutex::default(),
        }
    }

    fn is_alone(&self) -> bool {
        matches!(self.ways, Ways::Alone)
    }

    /// All directories that were opened.
    pub(super) fn served(self) -> Vec<Arc<dyn Served>> {
        self.served.into_inner()
    }

    pub(super) async fn desks(&self, config: &HouseConfig) -> Result<Desks, StoreError> {
        let (env, limits) = (&config.env, config.users);
        let active = ActiveContext {
            env: env.clone(),
            limit: config.active_users.limit,
        };
        Ok(Desks {
            aliases: self.directory(env.clone(), config.rooms).await?,
            backups: self.directory(env.clone(), limits).await?,
            media: self.directory(env.clone(), limits).await?,
            quarantine: self.directory(env.clone(), limits).await?,
            registration: self.directory(env.clone(), limits).await?,
            active: ActiveDesk::new(self.directory(active, limits).await?),
            admins: Admins {
                tokens: self.directory(env.clone(), limits).await?,
                audit: self.directory(env.clone(), limits).await?,
                policies: self.directory(env.clone(), limits).await?,
            },
            reports: self.directory(env.clone(), limits).await?,
            passes: self.directory(env.clone(), limits).await?,
            oauth: self.directory(env.clone(), limits).await?,
            threepids: self.directory(env.clone(), limits).await?,
            externals: self.directory(env.clone(), limits).await?,
            peer_keys: self.directory(env.clone(), limits).await?,
            volatile: super::Desks::new(self.directory(env.clone(), limits).await?, env),
        })
    }

    pub(super) async fn later(&self, config: &HouseConfig) -> Result<Later, StoreError> {
        let (board, outlet) = (Arc::<DelayBoard>::default(), Arc::<HouseOutlet>::default());
        let blocks = Arc::<BlockBoard>::default();
        let context = DelayContext {
            env: config.env.clone(),
            settings: config.delays,
            board: board.clone(),
            outlet: outlet.clone(),
        };
        let gateway = (&config.env, config.gateway);
        let join_bell = Arc::<Notify>::default();
        Ok(Later {
            gateway: GatewayOffice::open(self, gateway, config.users).await?,
            delays: self.directory(context, config.users).await?,
            purges: self.directory(blocks.clone(), config.users).await?,
            blocks,
            purge_bells: Arc::default(),
            joins: self.directory(join_bell.clone(), config.users).await?,
            join_bell,
            board,
            outlet,
        })
    }

    /// Nothing of it is there when there are no other servers.
    pub(super) async fn outboxes(
        &self,
        config: &HouseConfig,
        (rooms, users, models): (&Arc<Directory<Room>>, &Arc<Directory<User>>, &Arc<Models>),
    ) -> Result<Option<Outboxes>, StoreError> {
        if !config.env.network.is_on() {
            return Ok(None);
        }
        let board = crate::followers::outboxes::open_board(&*self.store, self.is_alone()).await?;
        let context = ServerContext {
            env: config.env.clone(),
            store: self.store.clone(),
            models: models.clone(),
            rooms: rooms.clone(),
            users: users.clone(),
            board: board.clone(),
            lanes: Lanes::new(config.outbox.transactions_max),
            settings: config.outbox,
        };
        let limits = DirectoryLimits {
            idle_ms: outboxes::IDLE_MS,
            ..config.users
        };
        Ok(Some(Outboxes {
            servers: self.directory(context, limits).await?,
            rooms: rooms.clone(),
            models: models.clone(),
            board,
            heard: Default::default(),
        }))
    }

    /// Nothing of it is there when the operator does not want pushes, or not from this node.
    pub(super) async fn push_board(
        &self,
        config: &HouseConfig,
    ) -> Result<Option<Arc<PushBoard>>, StoreError> {
        match &config.pushes {
            None => return Ok(None),
            Some(settings) if !settings.enabled => {
                pushers::forget_positions(&*self.store).await?;
                return Ok(None);
            }
            Some(_) => {}
        }
        let cluster = config.cluster.as_ref();
        if cluster.is_some_and(|cluster| !roles::has(&cluster.roles, roles::PUSH)) {
            return Ok(None);
        }
        let board = pushers::open_board(&*self.store, self.is_alone()).await?;
        Ok(Some(board))
    }

    pub(super) async fn directory<D: Domain>(
        &self,
        context: D::Context,
        limits: DirectoryLimits,
    ) -> Result<Arc<Directory<D>>, StoreError> {
        let place = (self.store.clone(), self.log.clone());
        let directory = Directory::among(self.ways.clone(), Arc::new(context), place, limits);
        let directory = directory
            .await
            .map_err(|error| StoreError::Database(format!("cannot start {}: {error}", D::NAME)))?;
        self.served.lock().push(directory.clone());
        Ok(directory)
    }
}

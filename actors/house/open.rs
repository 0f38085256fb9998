//! Opening the house and closing it: what must run before what.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use playhouse_schema::{
    address::Family,
    models::{
        AnyModel, Model as _, all, device_sightings::DeviceSightings, message_search::MessageSearch,
    },
    port::{LogStore, StoreError},
};
use tokio::time::Instant;

use super::{
    House, HouseConfig,
    active_users::ActiveDesk,
    auto_accept::{AutoAcceptKind, AutoHost},
    backfill::Backfills,
    delays::{HouseOutlet, keep_awake},
    elsewhere::Elsewhere,
    eraser::HouseEraser,
    forgotten_rooms::ForgottenRooms,
    journey::Journeys,
    members::HouseMembers,
    notices::Noticeboard,
    outboxes::{self, Outboxes},
    purges::{PurgeBells, Purger},
    remote_presence,
    retention::Sweeper,
    stale_devices::StaleDevices,
};
use crate::{
    active_users::ActiveContext,
    alias::Alias,
    backup::Backup,
    delays::{DelayBoard, DelayContext, Delays},
    externals::External,
    followers::{
        acceptances, departures, erasures,
        feeds::{self, board::FeedBoard, sources::HouseSources},
        forgettings, leavings,
        members::Members,
        models::Models,
        overtaken, profiles,
        task::{Running, forget_position},
        upkeep,
    },
    kernel::{Directory, DirectoryLimits, Domain, Log},
    media::{Media, ledger::QuarantineLedger},
    oauth::Oauth,
    passes::Passes,
    peer_keys::PeerKeys,
    purges::{BlockBoard, Purges},
    registration::Registration,
    reports::Reports,
    room::{Room, context::RoomContext},
    server::{Lanes, ServerContext},
    threepid::Threepid,
    user::{SessionCache, User, UserContext, UserSignal, password::Passwords},
    writers::{Pools, Tail},
};

impl House {
    /// Opens the house: writers, then actors, then followers. Costs the same whatever the size of the log; what lags behind catches up afterwards.
    pub async fn open(
        store: Arc<dyn LogStore>,
        config: HouseConfig,
    ) -> Result<Arc<Self>, StoreError> {
        let env = config.env.clone();
        let pools = Pools::open(store.clone(), env.clone(), config.writers).await?;
        let tail = pools.tail();
        let opening = Opening::of(&store, &pools);
        let sessions = Arc::new(SessionCache::new(config.sessions_max));
        let board = feeds::open_board(&*store, &config.presence_observers).await?;
        let models = Models::start(store.clone(), tail.clone(), models(&config));
        let models = Arc::new(models.await?);
        let rooms = room_context(&config, &store, (&board, &models));
        let rooms = opening.directory(rooms, config.rooms).await?;
        let sources = sources(&rooms, &store, &models);
        let users = user_context(&config, &store, (&sessions, &board, &sources));
        let users = opening.directory(users, config.users).await?;
        let desks = opening.desks(&config).await?;
        let later = opening.later(&config).await?;
        let strangers = opening.directory(env.clone(), config.users);
        let elsewhere = Elsewhere::new(strangers.await?, board.clone());
        let sending = opening.outboxes(&config, (&rooms, &users, &models)).await?;
        let members = HouseMembers {
            rooms: rooms.clone(),
            users: users.clone(),
            store: store.clone(),
            models: models.clone(),
            server_name: env.server_name().to_owned(),
        };
        let mut followers = feeds_followed(&board, &tail, sources);
        let source = (store.clone(), tail);
        let sent = sending.as_ref().map(|sending| (sending, &*board));
        followers.extend(durable_followers(source, members, (&config, &later, sent)).await?);
        let passwords = passwords(&config)?;
        let house = Arc::new_cyclic(|myself| Self {
            followers: remote_presence::watched(followers, &env, myself),
            env,
            config,
            store,
            pools,
            rooms,
            users,
            aliases: desks.aliases,
            backups: desks.backups,
            media: desks.media,
            quarantine: desks.quarantine,
            registration: desks.registration,
            active: desks.active,
            reports: desks.reports,
            passes: desks.passes,
            oauth: desks.oauth,
            delays: later.delays,
            purges: later.purges,
            blocks: later.blocks,
            purge_bells: later.purge_bells,
            threepids: desks.threepids,
            externals: desks.externals,
            peer_keys: desks.peer_keys,
            outboxes: sending,
            elsewhere,
            models,
            sessions,
            passwords,
            seen: Mutex::new(BTreeMap::new()),
            journeys: Journeys::default(),
            notices: Noticeboard::default(),
            backfills: Backfills::default(),
            desks: desks.volatile,
            runtime: tokio::runtime::Handle::current(),
            myself: myself.clone(),
        });
        house.begin(&later.outlet);
        Ok(house)
    }

    /// Lets those use the house who were there before it, and goes on with what was under way when the last one closed.
    fn begin(self: &Arc<Self>, outlet: &HouseOutlet) {
        // A schedule that has woken already tries again.
        let _ = outlet.0.set(Arc::downgrade(self));
        self.complete_rooms();
    }

    /// Ends the syncs that wait, with what there is to tell. Requests go on being served.
    pub fn end_waiting(&self) {
        self.users.signal_awake(|| UserSignal::Closing);
    }

    /// Closes the house: followers stop, actors finish what waits for them, writers commit what they were given. To be called when no requests come any more.
    pub async fn close(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.end_waiting();
        for follower in &self.followers {
            follower.stop(left()).await;
        }
        if let Some(outboxes) = &self.outboxes {
            outboxes.close(left()).await;
        }
        self.delays.close(left()).await;
        self.purges.close(left()).await;
        self.users.close(left()).await;
        self.rooms.close(left()).await;
        self.aliases.close(left()).await;
        self.backups.close(left()).await;
        self.media.close(left()).await;
        self.quarantine.close(left()).await;
        self.registration.close(left()).await;
        self.active.actor.close(left()).await;
        self.reports.close(left()).await;
        self.passes.close(left()).await;
        self.oauth.close(left()).await;
        self.threepids.close(left()).await;
        self.externals.close(left()).await;
        self.peer_keys.close(left()).await;
        self.elsewhere.users.close(left()).await;
        self.desks.close(left()).await;
        self.models.stop(left()).await;
        self.pools.close(left()).await;
    }
}

fn passwords(config: &HouseConfig) -> Result<Passwords, StoreError> {
    let passwords = Passwords::new(config.passwords, &config.env);
    passwords.map_err(|error| StoreError::Incompatible(error.to_string()))
}

/// The models that are wanted.
fn models(config: &HouseConfig) -> Vec<Box<dyn AnyModel>> {
    let mut models = all();
    let finds_stale = config.stale_devices.after_ms.is_some();
    models.retain(|model| finds_stale || model.name() != DeviceSightings::NAME);
    models.retain(|model| config.search || model.name() != MessageSearch::NAME);
    if !config.env.network.is_on() {
        models.retain(|model| !outboxes::MODELS.contains(&model.name()));
    }
    models
}

/// What keeps the feeds of this node's users up to date.
fn feeds_followed(
    board: &Arc<FeedBoard>,
    tail: &Arc<Tail>,
    sources: Arc<HouseSources>,
) -> Vec<Running> {
    vec![
        feeds::follow_rooms(board.clone(), tail),
        feeds::follow_devices(board.clone(), tail, sources),
    ]
}

/// The followers with a position of their own, and what looks after delayed and expired events.
async fn durable_followers(
    source: (Arc<dyn LogStore>, Arc<Tail>),
    members: HouseMembers,
    (config, later, sent): (&HouseConfig, &Later, Option<(&Outboxes, &FeedBoard)>),
) -> Result<Vec<Running>, StoreError> {
    let server_name = members.server_name.clone();
    let eraser = HouseEraser {
        users: members.users.clone(),
        store: members.store.clone(),
    };
    let sweeper = Sweeper {
        rooms: members.rooms.clone(),
        store: members.store.clone(),
        env: config.env.clone(),
        settings: config.retention,
    };
    let stale = StaleDevices {
        users: members.users.clone(),
        store: members.store.clone(),
        env: config.env.clone(),
        settings: config.stale_devices,
    };
    let purger = Purger {
        rooms: members.rooms.clone(),
        purges: later.purges.clone(),
        store: members.store.clone(),
        env: config.env.clone(),
        bells: later.purge_bells.clone(),
        outlet: later.outlet.clone(),
    };
    let to_others = sent.map(|(sending, board)| sending.start(source.clone(), board, &config.env));
    let members = Arc::new(members);
    let at_will = at_will(source.clone(), &members, (config, later)).await?;
    let members: Arc<dyn Members> = members;
    let (delays, board) = (later.delays.clone(), later.board.clone());
    let mut followers = vec![
        profiles::start(source.clone(), members.clone()).await?,
        departures::start(source.clone(), members.clone()).await?,
        erasures::start(source.clone(), Arc::new(eraser)).await?,
        overtaken::start(source.clone(), delays.clone(), board.clone()).await?,
        upkeep::start(source, members, server_name).await?,
        keep_awake(delays, board),
        purger.start(),
    ];
    followers.extend(at_will);
    followers.extend(sweeper.start());
    followers.extend(stale.start());
    followers.extend(to_others);
    Ok(followers)
}

/// The followers that only some operators want.
async fn at_will(
    source: (Arc<dyn LogStore>, Arc<Tail>),
    members: &Arc<HouseMembers>,
    (config, later): (&HouseConfig, &Later),
) -> Result<Vec<Running>, StoreError> {
    let mut followers = Vec::new();
    let server_name = members.server_name.clone();
    if config.forget_on_leave {
        let server_name = server_name.clone();
        followers.push(leavings::start(source.clone(), members.clone(), server_name).await?);
    } else {
        forget_position(&*source.0, leavings::NAME, Family::Rooms).await?;
    }
    if let Some(after_ms) = config.forgotten_rooms_ms {
        let undertaker = ForgottenRooms {
            outlet: later.outlet.clone(),
            bells: later.purge_bells.clone(),
            after_ms,
        };
        followers.push(forgettings::start(source.clone(), Arc::new(undertaker)).await?);
    } else {
        forget_position(&*source.0, forgettings::NAME, Family::Users).await?;
    }
    if config.auto_accept.kind == AutoAcceptKind::Off {
        forget_position(&*source.0, acceptances::NAME, Family::Rooms).await?;
        return Ok(followers);
    }
    let host = AutoHost {
        outlet: later.outlet.clone(),
        wanted: config.auto_accept,
        server_name,
    };
    followers.extend(acceptances::start(source, Arc::new(host), &config.env).await?);
    Ok(followers)
}

fn sources(
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

fn room_context(
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
    }
}

fn user_context(
    config: &HouseConfig,
    store: &Arc<dyn LogStore>,
    (sessions, board, sources): (&Arc<SessionCache>, &Arc<FeedBoard>, &Arc<HouseSources>),
) -> UserContext {
    UserContext {
        env: config.env.clone(),
        store: store.clone(),
        limits: config.user_limits.clone(),
        sessions: sessions.clone(),
        board: board.clone(),
        sources: sources.clone(),
    }
}

/// The directories of actors that need nothing but the environment.
struct Desks {
    aliases: Arc<Directory<Alias>>,
    backups: Arc<Directory<Backup>>,
    media: Arc<Directory<Media>>,
    quarantine: Arc<Directory<QuarantineLedger>>,
    registration: Arc<Directory<Registration>>,
    active: ActiveDesk,
    reports: Arc<Directory<Reports>>,
    passes: Arc<Directory<Passes>>,
    oauth: Arc<Directory<Oauth>>,
    threepids: Arc<Directory<Threepid>>,
    externals: Arc<Directory<External>>,
    peer_keys: Arc<Directory<PeerKeys>>,
    volatile: super::Desks,
}

/// The schedules of delayed events and the list of purges, and what they share with the rest of the house.
struct Later {
    delays: Arc<Directory<Delays>>,
    purges: Arc<Directory<Purges>>,
    blocks: Arc<BlockBoard>,
    purge_bells: Arc<PurgeBells>,
    board: Arc<DelayBoard>,
    outlet: Arc<HouseOutlet>,
}

/// What every directory needs.
struct Opening {
    store: Arc<dyn LogStore>,
    log: Arc<dyn Log>,
}

impl Opening {
    fn of(store: &Arc<dyn LogStore>, pools: &Arc<Pools>) -> Self {
        Self {
            store: store.clone(),
            log: pools.clone(),
        }
    }

    async fn desks(&self, config: &HouseConfig) -> Result<Desks, StoreError> {
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
            reports: self.directory(env.clone(), limits).await?,
            passes: self.directory(env.clone(), limits).await?,
            oauth: self.directory(env.clone(), limits).await?,
            threepids: self.directory(env.clone(), limits).await?,
            externals: self.directory(env.clone(), limits).await?,
            peer_keys: self.directory(env.clone(), limits).await?,
            volatile: super::Desks::new(self.directory(env.clone(), limits).await?, env),
        })
    }

    async fn later(&self, config: &HouseConfig) -> Result<Later, StoreError> {
        let (board, outlet) = (Arc::<DelayBoard>::default(), Arc::<HouseOutlet>::default());
        let blocks = Arc::<BlockBoard>::default();
        let context = DelayContext {
            env: config.env.clone(),
            settings: config.delays,
            board: board.clone(),
            outlet: outlet.clone(),
        };
        Ok(Later {
            delays: self.directory(context, config.users).await?,
            purges: self.directory(blocks.clone(), config.users).await?,
            blocks,
            purge_bells: Arc::default(),
            board,
            outlet,
        })
    }

    /// Nothing of it is there when there are no other servers.
    async fn outboxes(
        &self,
        config: &HouseConfig,
        (rooms, users, models): (&Arc<Directory<Room>>, &Arc<Directory<User>>, &Arc<Models>),
    ) -> Result<Option<Outboxes>, StoreError> {
        if !config.env.network.is_on() {
            return Ok(None);
        }
        let board = crate::followers::outboxes::open_board(&*self.store).await?;
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
        }))
    }

    async fn directory<D: Domain>(
        &self,
        context: D::Context,
        limits: DirectoryLimits,
    ) -> Result<Arc<Directory<D>>, StoreError> {
        let context = Arc::new(context);
        Directory::new(context, self.store.clone(), self.log.clone(), limits)
            .await
            .map_err(|error| StoreError::Database(format!("cannot start {}: {error}", D::NAME)))
    }
}

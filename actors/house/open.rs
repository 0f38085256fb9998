//! Opening the house and closing it: what must run before what.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use playhouse_schema::{
    models::{Model as _, all, message_search::MessageSearch},
    port::{LogStore, StoreError},
};
use tokio::time::Instant;

use super::{
    House, HouseConfig,
    delays::{HouseOutlet, keep_awake},
    eraser::HouseEraser,
    members::HouseMembers,
};
use crate::{
    delays::{DelayBoard, DelayContext},
    followers::{
        departures, erasures,
        feeds::{self, sources::HouseSources},
        members::Members,
        models::Models,
        overtaken, profiles,
        task::Running,
        upkeep,
    },
    kernel::{Directory, DirectoryLimits, Domain, Log},
    room::context::RoomContext,
    user::{SessionCache, UserContext, UserSignal, password::Passwords},
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
        let opening = Opening {
            store: store.clone(),
            log: pools.clone(),
        };
        let sessions = Arc::new(SessionCache::new(config.sessions_max));
        let board = feeds::open_board(&*store).await?;
        let models = all()
            .into_iter()
            .filter(|model| config.search || model.name() != MessageSearch::NAME)
            .collect();
        let models = Arc::new(Models::start(store.clone(), tail.clone(), models).await?);
        let rooms = RoomContext {
            env: env.clone(),
            store: store.clone(),
            typing: board.clone(),
            models: models.clone(),
        };
        let rooms = opening.directory(rooms, config.rooms).await?;
        let sources = Arc::new(HouseSources {
            rooms: rooms.clone(),
            store: store.clone(),
            models: models.clone(),
        });
        let users = UserContext {
            env: env.clone(),
            store: store.clone(),
            limits: config.user_limits.clone(),
            sessions: sessions.clone(),
            board: board.clone(),
            sources: sources.clone(),
        };
        let users = opening.directory(users, config.users).await?;
        let aliases = opening.directory(env.clone(), config.rooms).await?;
        let backups = opening.directory(env.clone(), config.users).await?;
        let media = opening.directory(env.clone(), config.users).await?;
        let registration = opening.directory(env.clone(), config.users).await?;
        let reports = opening.directory(env.clone(), config.users).await?;
        let outlet = Arc::new(HouseOutlet::default());
        let delay_board = Arc::new(DelayBoard::default());
        let delays = DelayContext {
            env: env.clone(),
            settings: config.delays,
            board: delay_board.clone(),
            outlet: outlet.clone(),
        };
        let delays = opening.directory(delays, config.users).await?;
        let passes = opening.directory(env.clone(), config.users).await?;
        let oauth = opening.directory(env.clone(), config.users).await?;
        let externals = opening.directory(env.clone(), config.users).await?;
        let members = HouseMembers {
            rooms: rooms.clone(),
            users: users.clone(),
            store: store.clone(),
            models: models.clone(),
            server_name: env.server_name().to_owned(),
        };
        let mut followers = vec![
            feeds::follow_rooms(board.clone(), &tail),
            feeds::follow_devices(board, &tail, sources),
        ];
        let source = (store.clone(), tail);
        followers.extend(durable_followers(source.clone(), members).await?);
        followers.push(overtaken::start(source, delays.clone(), delay_board.clone()).await?);
        let passwords = Passwords::new(config.passwords, &env)
            .map_err(|error| StoreError::Incompatible(error.to_string()))?;
        let awake = keep_awake(delays.clone(), delay_board);
        followers.push(awake);
        let house = Arc::new_cyclic(|myself| Self {
            env,
            config,
            store,
            pools,
            rooms,
            users,
            aliases,
            backups,
            media,
            registration,
            reports,
            delays,
            passes,
            oauth,
            externals,
            models,
            followers,
            sessions,
            passwords,
            seen: Mutex::new(BTreeMap::new()),
            runtime: tokio::runtime::Handle::current(),
            myself: myself.clone(),
        });
        // A schedule that has woken already tries again.
        let _ = outlet.0.set(Arc::downgrade(&house));
        Ok(house)
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
        self.delays.close(left()).await;
        self.users.close(left()).await;
        self.rooms.close(left()).await;
        self.aliases.close(left()).await;
        self.backups.close(left()).await;
        self.media.close(left()).await;
        self.registration.close(left()).await;
        self.reports.close(left()).await;
        self.passes.close(left()).await;
        self.oauth.close(left()).await;
        self.externals.close(left()).await;
        self.models.stop(left()).await;
        self.pools.close(left()).await;
    }
}

/// The followers with a position of their own.
async fn durable_followers(
    source: (Arc<dyn LogStore>, Arc<Tail>),
    members: HouseMembers,
) -> Result<[Running; 4], StoreError> {
    let server_name = members.server_name.clone();
    let eraser = HouseEraser {
        users: members.users.clone(),
        store: members.store.clone(),
    };
    let members: Arc<dyn Members> = Arc::new(members);
    Ok([
        profiles::start(source.clone(), members.clone()).await?,
        departures::start(source.clone(), members.clone()).await?,
        erasures::start(source.clone(), Arc::new(eraser)).await?,
        upkeep::start(source, members, server_name).await?,
    ])
}

/// What every directory needs.
struct Opening {
    store: Arc<dyn LogStore>,
    log: Arc<dyn Log>,
}

impl Opening {
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

//! Opening the house and closing it: what must run before what.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use playhouse_schema::port::{LogStore, StoreError};
use tokio::time::Instant;

use super::{
    House, HouseConfig,
    backfill::Backfills,
    chores,
    delays::HouseOutlet,
    elsewhere::Elsewhere,
    journey::Journeys,
    members::HouseMembers,
    notices::Noticeboard,
    opening::{Desks, Ground, Later, feeds_followed, room_context, sources, user_context},
    outboxes::Outboxes,
    pushers::Pushes,
    remote_presence,
    tenants::Boards,
};
use crate::{
    followers::{feeds::sources::HouseSources, task::Running},
    kernel::{Directory, Served},
    pushers::{self, PushBoard},
    room::Room,
    user::{SessionCache, User, UserSignal, password::Passwords},
};

impl House {
    /// Opens the house: writers, then actors, then followers. Costs the same whatever the size of the log; what lags behind catches up afterwards.
    pub async fn open(
        store: Arc<dyn LogStore>,
        config: HouseConfig,
    ) -> Result<Arc<Self>, StoreError> {
        let ground = Ground::lay(store, &config).await?;
        let Actors {
            rooms,
            users,
            desks,
            later,
            elsewhere,
            outboxes,
            pushes,
            followers,
            sessions,
        } = Actors::open(&ground, &config).await?;
        let passwords = passwords(&config)?;
        let Ground {
            store,
            pools,
            among,
            mark,
            models,
            opening,
            ..
        } = ground;
        let boards = later.boards();
        let house = Arc::new_cyclic(|myself| Self {
            followers: remote_presence::watched(followers, &config.env, myself),
            env: config.env.clone(),
            config,
            store,
            pools,
            among,
            mark,
            rooms,
            users,
            aliases: desks.aliases,
            backups: desks.backups,
            media: desks.media,
            quarantine: desks.quarantine,
            registration: desks.registration,
            active: desks.active,
            admins: desks.admins,
            reports: desks.reports,
            passes: desks.passes,
            oauth: desks.oauth,
            delays: later.delays,
            gateway: later.gateway,
            purges: later.purges,
            blocks: later.blocks,
            purge_bells: later.purge_bells,
            threepids: desks.threepids,
            externals: desks.externals,
            peer_keys: desks.peer_keys,
            outboxes,
            pushes,
            elsewhere,
            models,
            sessions,
            passwords,
            seen: Mutex::new(BTreeMap::new()),
            journeys: Journeys::new(later.joins, later.join_bell),
            notices: Noticeboard::default(),
            backfills: Backfills::default(),
            desks: desks.volatile,
            runtime: tokio::runtime::Handle::current(),
            myself: myself.clone(),
        });
        house.begin(&later.outlet, opening.served(), boards).await?;
        Ok(house)
    }

    /// Lets those use the house who were there before it, and goes on with what was under way when the last one closed.
    async fn begin(
        self: &Arc<Self>,
        outlet: &HouseOutlet,
        served: Vec<Arc<dyn Served>>,
        boards: Boards,
    ) -> Result<(), StoreError> {
        // A schedule that has woken already tries again.
        let _ = outlet.0.set(Arc::downgrade(self));
        match &self.among {
            // Rooms are gone on with as they come here.
            Some(among) => among.join(self, served, boards).await,
            None => {
                self.complete_rooms();
                Ok(())
            }
        }
    }

    /// Ends the syncs that wait, with what there is to tell. Requests go on being served.
    pub fn end_waiting(&self) {
        match &self.among {
            // Who waits for a user that lives here from another node goes on waiting, elsewhere.
            Some(among) => among.close(),
            None => self.users.signal_awake(|| UserSignal::Closing),
        }
    }

    /// Closes the house: followers stop, actors finish what waits for them, writers commit what they were given. To be called when no requests come any more.
    pub async fn close(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.end_waiting();
        if let Some(among) = &self.among {
            among.leave(within / 2).await;
        }
        for follower in &self.followers {
            follower.stop(left()).await;
        }
        if let Some(outboxes) = &self.outboxes {
            outboxes.close(left()).await;
        }
        if let Some(pushes) = &self.pushes {
            pushes.close(left()).await;
        }
        self.delays.close(left()).await;
        self.gateway.close(left()).await;
        self.purges.close(left()).await;
        self.journeys.close(left()).await;
        self.users.close(left()).await;
        self.rooms.close(left()).await;
        self.aliases.close(left()).await;
        self.backups.close(left()).await;
        self.media.close(left()).await;
        self.quarantine.close(left()).await;
        self.registration.close(left()).await;
        self.active.actor.close(left()).await;
        self.admins.close(left()).await;
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
        if let Some(mark) = &self.mark {
            mark.wipe(left()).await;
        }
    }
}

/// The actors of a house, and what goes on among them.
struct Actors {
    rooms: Arc<Directory<Room>>,
    users: Arc<Directory<User>>,
    desks: Desks,
    later: Later,
    elsewhere: Elsewhere,
    outboxes: Option<Outboxes>,
    pushes: Option<Pushes>,
    followers: Vec<Running>,
    sessions: Arc<SessionCache>,
}

impl Actors {
    async fn open(ground: &Ground, config: &HouseConfig) -> Result<Self, StoreError> {
        let (opening, store) = (&ground.opening, &ground.store);
        let (board, models) = (&ground.board, &ground.models);
        let sessions = Arc::new(SessionCache::new(config.sessions_max));
        let rooms = room_context(config, store, (board, models));
        let held_receipts = rooms.held_receipts.clone();
        let rooms = opening.directory(rooms, config.rooms).await?;
        let sources = sources(&rooms, store, models);
        let push_board = opening.push_board(config).await?;
        let heard = (&sessions, board, &sources);
        let users = user_context(config, store, heard, push_board.as_ref());
        let users = opening.directory(users, config.users).await?;
        let desks = opening.desks(config).await?;
        let later = opening.later(config).await?;
        let strangers = opening.directory(config.env.clone(), config.users);
        let elsewhere = Elsewhere::new(strangers.await?, board.clone(), held_receipts);
        let outboxes = opening.outboxes(config, (&rooms, &users, models)).await?;
        let members = HouseMembers {
            rooms: rooms.clone(),
            users: users.clone(),
            store: store.clone(),
            models: models.clone(),
            server_name: config.env.server_name().to_owned(),
        };
        let pushed = (rooms.clone(), users.clone(), sources.clone());
        let pushes = pushes(ground, config, (push_board, pushed));
        let tail = ground.pools.tail();
        let mut followers = feeds_followed(board, &tail, sources);
        let parts = chores::Parts {
            source: (store.clone(), tail),
            config,
            later: &later,
            sent: outboxes.as_ref().map(|outboxes| (outboxes, &**board)),
            pushes: pushes.as_ref(),
            among: ground.among.as_ref(),
        };
        followers.extend(chores::start(members, parts).await?);
        Ok(Self {
            rooms,
            users,
            desks,
            later,
            elsewhere,
            outboxes,
            pushes,
            followers,
            sessions,
        })
    }
}

/// Rooms, users, and what is read of them.
type Pushed = (
    Arc<Directory<Room>>,
    Arc<Directory<User>>,
    Arc<HouseSources>,
);

fn pushes(
    ground: &Ground,
    config: &HouseConfig,
    (board, pushed): (Option<Arc<PushBoard>>, Pushed),
) -> Option<Pushes> {
    let (rooms, users, sources) = pushed;
    Some(Pushes::new(pushers::Parts {
        env: config.env.clone(),
        store: ground.store.clone(),
        models: ground.models.clone(),
        rooms,
        users,
        sources,
        board: board?,
        settings: config.pushes.clone()?,
    }))
}

fn passwords(config: &HouseConfig) -> Result<Passwords, StoreError> {
    let passwords = Passwords::new(config.passwords, &config.env);
    passwords.map_err(|error| StoreError::Incompatible(error.to_string()))
}

//! What goes on in the house without being asked: followers of the log with a position of their own, and what is looked for now and then.
//!
//! Where there are several nodes each of these is done by one of them.

use std::{future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Family, Layout, Shard},
    port::StoreError,
};

use super::{
    HouseConfig,
    among::{Among, lies_in},
    auto_accept::{AutoAcceptKind, AutoHost},
    delays::keep_awake,
    eraser::HouseEraser,
    forgotten_rooms::ForgottenRooms,
    journey::Resumer,
    members::HouseMembers,
    opening::Later,
    outboxes::Outboxes,
    purges::{Purger, pause_at, purges},
    pushers::{Pushes, push_to_shard},
    recoveries::HouseRecovery,
    retention::Sweeper,
    stale_devices::StaleDevices,
};
use crate::{
    cluster::{Duty, duty::shard_of_name, roles},
    delays::{SCHEDULES, schedule},
    followers::{
        acceptances, departures, erasures,
        feeds::board::FeedBoard,
        forgettings, leavings,
        members::Members,
        overtaken, profiles, recoveries,
        task::{Running, Source, forget_position, numbered},
        upkeep,
    },
    joins::joins,
};

type Begun = BoxFuture<'static, Result<Vec<Running>, StoreError>>;

/// What needs to be done, and where that falls to.
struct Chores {
    layout: Layout,
    duties: Vec<Duty<Running>>,
}

impl Chores {
    /// Something that falls to a node for the background, if it can be to that with a shard of a family.
    fn add(
        &mut self,
        named: (&'static str, Family),
        begin: impl Fn() -> Begun + Send + Sync + 'static,
    ) {
        self.add_for(roles::BACKGROUND, named, begin);
    }

    /// The same for nodes of another role.
    fn add_for(
        &mut self,
        role: &'static str,
        (name, family): (&'static str, Family),
        begin: impl Fn() -> Begun + Send + Sync + 'static,
    ) {
        let shard = shard_of_name(self.layout, family, name);
        self.add_near(role, (name, shard), begin);
    }

    /// Something that falls to the node with this shard, if that has a role, or else to one that has.
    fn add_near(
        &mut self,
        role: &'static str,
        (name, shard): (&'static str, Shard),
        begin: impl Fn() -> Begun + Send + Sync + 'static,
    ) {
        self.duties.push(Duty {
            name,
            shard,
            role: Some(role),
            begin: Arc::new(begin),
        });
    }

    /// Something that can only be done by the node with this shard.
    fn add_at(
        &mut self,
        (name, shard): (&'static str, Shard),
        begin: impl Fn() -> Begun + Send + Sync + 'static,
    ) {
        self.duties.push(Duty {
            name,
            shard,
            role: None,
            begin: Arc::new(begin),
        });
    }

    /// Begins everything, or what falls to this node.
    async fn begin(self, among: Option<&Among>) -> Result<Vec<Running>, StoreError> {
        let mut running = Vec::new();
        for duty in self.duties {
            match among {
                Some(among) => running.push(among.attend(duty)),
                None => running.extend((duty.begin)().await?),
            }
        }
        Ok(running)
    }
}

/// One follower.
async fn one(
    starting: impl Future<Output = Result<Running, StoreError>>,
) -> Result<Vec<Running>, StoreError> {
    Ok(vec![starting.await?])
}

/// The parts of a house that its chores need.
pub(super) struct Parts<'a> {
    pub(super) source: Source,
    pub(super) config: &'a HouseConfig,
    pub(super) later: &'a Later,
    pub(super) sent: Option<(&'a Outboxes, &'a FeedBoard)>,
    pub(super) pushes: Option<&'a Pushes>,
    pub(super) among: Option<&'a Among>,
}

/// Begins all of them.
pub(super) async fn start(
    members: HouseMembers,
    parts: Parts<'_>,
) -> Result<Vec<Running>, StoreError> {
    let source = parts.source.clone();
    let mut chores = Chores {
        layout: source.0.layout(),
        duties: Vec::new(),
    };
    let members = Arc::new(members);
    follow(&mut chores, &members, &parts);
    follow_delays(&mut chores, &parts);
    sweep(&mut chores, &members, &parts);
    at_will(&mut chores, &members, &parts).await?;
    push(&mut chores, &parts);
    let mut running = chores.begin(parts.among).await?;
    let delays = (parts.later.delays.clone(), parts.later.board.clone());
    running.push(keep_awake(delays, parts.among));
    running.push(parts.later.gateway.keep_awake(parts.among));
    running.extend(parts.pushes.map(|pushes| pushes.start(source.clone())));
    running.extend(
        parts
            .sent
            .map(|(sending, board)| sending.start(source, board, &parts.config.env)),
    );
    Ok(running)
}

/// The followers with a position of their own.
fn follow(chores: &mut Chores, members: &Arc<HouseMembers>, parts: &Parts<'_>) {
    let eraser: Arc<dyn erasures::Eraser> = Arc::new(HouseEraser {
        users: members.users.clone(),
        store: members.store.clone(),
        models: members.models.clone(),
        pause: pause_at(parts.config.erasures_per_second),
    });
    let server_name = members.server_name.clone();
    let members: Arc<dyn Members> = members.clone();
    let from = (parts.source.clone(), members.clone());
    chores.add(("profiles", Family::Users), move || {
        Box::pin(one(profiles::start(from.0.clone(), from.1.clone())))
    });
    let from = (parts.source.clone(), members.clone());
    chores.add(("departures", Family::Users), move || {
        Box::pin(one(departures::start(from.0.clone(), from.1.clone())))
    });
    let source = parts.source.clone();
    chores.add(("erasures", Family::Users), move || {
        Box::pin(one(erasures::start(source.clone(), eraser.clone())))
    });
    if parts.config.env.network.is_on() {
        let recovery = HouseRecovery {
            outlet: parts.later.outlet.clone(),
        };
        let recovery: Arc<dyn recoveries::Recoverer> = Arc::new(recovery);
        let source = parts.source.clone();
        chores.add(("recoveries", Family::Servers), move || {
            Box::pin(one(recoveries::start(source.clone(), recovery.clone())))
        });
    }
    let source = parts.source.clone();
    chores.add(("upkeep", Family::Rooms), move || {
        let started = upkeep::start(source.clone(), members.clone(), server_name.clone());
        Box::pin(one(started))
    });
}

/// State that is set overtakes delayed events: where there are several nodes, each looks after the schedules that it has.
fn follow_delays(chores: &mut Chores, parts: &Parts<'_>) {
    let (delays, board) = (parts.later.delays.clone(), parts.later.board.clone());
    let source = parts.source.clone();
    if parts.among.is_none() {
        chores.add((overtaken::NAME, Family::Rooms), move || {
            let all = (overtaken::NAME, (0..SCHEDULES).collect());
            let parts = (delays.clone(), board.clone());
            Box::pin(one(overtaken::start(source.clone(), parts, all)))
        });
        return;
    }
    let layout = chores.layout;
    for number in 0..layout.shards {
        let family = Family::Servers;
        let shard = Shard { family, number };
        let schedules = (0..SCHEDULES).filter(|one| lies_in(layout, &schedule(*one), shard));
        let schedules: Vec<_> = schedules.collect();
        if schedules.is_empty() {
            continue;
        }
        let name = numbered(overtaken::NAME, number);
        let (delays, board, source) = (delays.clone(), board.clone(), source.clone());
        chores.add_at((name, shard), move || {
            let of_shard = (name, schedules.clone());
            let parts = (delays.clone(), board.clone());
            Box::pin(one(overtaken::start(source.clone(), parts, of_shard)))
        });
    }
}

/// Users are pushed to by the node that has them, or by another one that is for it: where there are several nodes, shard by shard.
fn push(chores: &mut Chores, parts: &Parts<'_>) {
    let Some(pushes) = parts.pushes.filter(|_| parts.among.is_some()) else {
        return;
    };
    for number in 0..chores.layout.shards {
        let family = Family::Users;
        let shard = Shard { family, number };
        let (board, store) = (pushes.board().clone(), parts.source.0.clone());
        let named = (numbered("pushes", number), shard);
        chores.add_near(roles::PUSH, named, move || {
            let pushing = push_to_shard(board.clone(), store.clone(), number);
            Box::pin(async move { Ok(vec![pushing]) })
        });
    }
}

/// What is looked for now and then.
fn sweep(chores: &mut Chores, members: &Arc<HouseMembers>, parts: &Parts<'_>) {
    let (config, later) = (parts.config, parts.later);
    let sweeper = Sweeper {
        rooms: members.rooms.clone(),
        store: members.store.clone(),
        models: members.models.clone(),
        env: config.env.clone(),
        settings: config.retention,
        pause: pause_at(config.erasures_per_second),
    };
    chores.add(("retention", Family::Rooms), move || {
        let sweeper = sweeper.clone();
        Box::pin(async move { Ok(sweeper.start().into_iter().collect()) })
    });
    let stale = StaleDevices {
        users: members.users.clone(),
        store: members.store.clone(),
        env: config.env.clone(),
        settings: config.stale_devices,
    };
    chores.add(("stale devices", Family::Users), move || {
        let stale = stale.clone();
        Box::pin(async move { Ok(stale.start().into_iter().collect()) })
    });
    let purger = Purger {
        rooms: members.rooms.clone(),
        purges: later.purges.clone(),
        store: members.store.clone(),
        models: members.models.clone(),
        env: config.env.clone(),
        bells: later.purge_bells.clone(),
        board: later.blocks.clone(),
        outlet: later.outlet.clone(),
        pause: pause_at(config.erasures_per_second),
    };
    let shard = chores.layout.shard_of(&purges());
    chores.add_at(("purges", shard), move || {
        let purger = purger.clone();
        Box::pin(async move { Ok(vec![purger.start()]) })
    });
    let resumer = Resumer {
        outlet: later.outlet.clone(),
        bell: later.join_bell.clone(),
    };
    let shard = chores.layout.shard_of(&joins());
    chores.add_at(("joins", shard), move || {
        let resumer = resumer.clone();
        Box::pin(async move { Ok(vec![resumer.start()]) })
    });
}

/// What only some operators want.
async fn at_will(
    chores: &mut Chores,
    members: &Arc<HouseMembers>,
    parts: &Parts<'_>,
) -> Result<(), StoreError> {
    let (config, later) = (parts.config, parts.later);
    let store = parts.source.0.clone();
    let server_name = members.server_name.clone();
    if config.forget_on_leave {
        let (source, members) = (parts.source.clone(), members.clone());
        let server_name = server_name.clone();
        chores.add((leavings::NAME, Family::Rooms), move || {
            let started = leavings::start(source.clone(), members.clone(), server_name.clone());
            Box::pin(one(started))
        });
    } else {
        forget_position(&*store, leavings::NAME, Family::Rooms).await?;
    }
    if let Some(after_ms) = config.forgotten_rooms_ms {
        let undertaker: Arc<dyn forgettings::Undertaker> = Arc::new(ForgottenRooms {
            outlet: later.outlet.clone(),
            bells: later.purge_bells.clone(),
            after_ms,
        });
        let source = parts.source.clone();
        chores.add((forgettings::NAME, Family::Users), move || {
            Box::pin(one(forgettings::start(source.clone(), undertaker.clone())))
        });
    } else {
        forget_position(&*store, forgettings::NAME, Family::Users).await?;
    }
    if config.auto_accept.kind == AutoAcceptKind::Off {
        return forget_position(&*store, acceptances::NAME, Family::Rooms).await;
    }
    let host: Arc<dyn acceptances::Host> = Arc::new(AutoHost {
        outlet: later.outlet.clone(),
        wanted: config.auto_accept,
        server_name,
    });
    let (source, env) = (parts.source.clone(), config.env.clone());
    chores.add((acceptances::NAME, Family::Rooms), move || {
        let (source, host, env) = (source.clone(), host.clone(), env.clone());
        Box::pin(async move {
            let started = acceptances::start(source, host, &env).await?;
            Ok(started.into())
        })
    });
    Ok(())
}

//! The push gateway: how what homeservers gave it gets to the providers, in a house or without one.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use playhouse_schema::port::{LogStore, StoreError};
use tokio::{sync::Notify, time::Instant};

use super::{House, among::Among, opening::Opening};
use crate::{
    env::Env,
    followers::task::Running,
    gateway::{
        Attempts, Backlog, Carrier, GatewayAnswer, GatewayBoard, GatewayCommand, GatewayContext,
        GatewayError, GatewayQuery, GatewayReply, GatewaySettings, GatewaySignal, NewPush, Outbox,
        Push, Verdict, outbox, outbox_of,
    },
    kernel::{Directory, DirectoryLimits, Place, Routes as _, Unavailable, Ways},
    writers::{PoolLimits, Pools},
};

/// Outboxes that have something to do are looked after so often: one that ended by a failure wakes again.
const PULSE: Duration = Duration::from_secs(5);

/// The way to the providers, once there is one: it comes to be after the outboxes.
#[derive(Default)]
struct Slot {
    carrier: OnceLock<Arc<dyn Carrier>>,
    filled: Notify,
}

impl Carrier for Slot {
    fn carry(&self, push: Arc<Push>) -> BoxFuture<'static, Verdict> {
        let carrier = self.carrier.get().cloned();
        Box::pin(async move {
            match carrier {
                Some(carrier) => carrier.carry(push).await,
                None => Verdict::Later {
                    after_ms: None,
                    reason: "no gateway".to_owned(),
                },
            }
        })
    }

    fn is_open(&self) -> bool {
        self.carrier.get().is_some_and(|carrier| carrier.is_open())
    }
}

/// The outboxes of the push gateway.
pub struct GatewayOffice {
    outboxes: Arc<Directory<Outbox>>,
    board: Arc<GatewayBoard>,
    attempts: Arc<Attempts>,
    slot: Arc<Slot>,
}

impl GatewayOffice {
    pub(super) async fn open(
        opening: &Opening,
        (env, settings): (&Env, GatewaySettings),
        limits: DirectoryLimits,
    ) -> Result<Arc<Self>, StoreError> {
        let (board, attempts) = (Arc::<GatewayBoard>::default(), Arc::<Attempts>::default());
        let slot = Arc::<Slot>::default();
        let context = GatewayContext {
            env: env.clone(),
            settings,
            board: board.clone(),
            carrier: slot.clone(),
            attempts: attempts.clone(),
        };
        Ok(Arc::new(Self {
            outboxes: opening.directory(context, limits).await?,
            board,
            attempts,
            slot,
        }))
    }

    pub(super) fn board(&self) -> &Arc<GatewayBoard> {
        &self.board
    }

    /// Begins to pass on what waits. Only the first carrier counts.
    pub fn begin(&self, carrier: Arc<dyn Carrier>) {
        let _ = self.slot.carrier.set(carrier);
        self.slot.filled.notify_one();
    }

    /// Takes a notification to pass on. `Ok` means that it is durable, or that its pushkey is known to be dead.
    pub async fn accept(&self, new: NewPush) -> Result<GatewayReply, GatewayError> {
        let entity = outbox_of(&new.device);
        let command = GatewayCommand::Accept(Box::new(new));
        self.outboxes.command(entity, command).await
    }

    /// Waits for the end of a notification, and tells whether its pushkey is dead; `None` when that is not known in time.
    pub async fn is_rejected(
        &self,
        device: &str,
        push_id: String,
        within: Duration,
    ) -> Option<bool> {
        let entity = outbox_of(device);
        let query = GatewayQuery::Await(push_id);
        let answer = self
            .outboxes
            .query_within(entity.clone(), query, within)
            .await;
        match answer {
            Ok(GatewayAnswer::Ended { rejected, kept }) => {
                if kept {
                    let told = GatewayCommand::Told(device.to_owned());
                    // What is not forgotten is told once more, which the homeserver can bear.
                    let _ = self.outboxes.command(entity, told).await;
                }
                Some(rejected)
            }
            Ok(GatewayAnswer::Length(_)) => None,
            Err(error) => {
                if error != GatewayError::Unavailable(Unavailable::Timeout) {
                    tracing::warn!(%error, "what becomes of a notification is not known");
                }
                None
            }
        }
    }

    /// What waits on this node.
    pub fn backlog(&self) -> Backlog {
        self.board.backlog()
    }

    /// Waits until the attempts that are on their way are over and recorded. The carrier must be closed.
    pub async fn drained(&self, within: Duration) {
        if tokio::time::timeout(within, self.attempts.ended())
            .await
            .is_err()
        {
            tracing::warn!("not all attempts to pass on notifications have ended in time");
        }
    }

    pub(super) async fn close(&self, within: Duration) {
        self.outboxes.close(within).await;
    }

    /// Wakes all outboxes of this node once, and keeps those awake that have something to do.
    pub(super) fn keep_awake(self: &Arc<Self>, among: Option<&Among>) -> Running {
        let here = among.map(|among| (among.map().clone(), among.layout()));
        let office = self.clone();
        Running::start(|mut stop| {
            Box::pin(async move {
                let mut changes = here.as_ref().map(|(map, _)| map.changes());
                loop {
                    let mut pending = office.board.pending();
                    if let Some((map, layout)) = &here {
                        let is_here =
                            |number| map.place(layout.shard_of(&outbox(number))) == Place::Here;
                        pending.retain(|number| is_here(*number));
                    }
                    // Who has no gateway need not look what waits in it.
                    pending.retain(|_| office.slot.is_open());
                    for number in pending {
                        office.outboxes.signal(&outbox(number), GatewaySignal::Tick);
                    }
                    // An outbox that has come here is woken at once.
                    let moved = async {
                        match &mut changes {
                            Some(changes) => drop(changes.changed().await),
                            None => std::future::pending().await,
                        }
                    };
                    let mut told = stop.clone();
                    let is_open = office.slot.is_open();
                    tokio::select! {
                        biased;
                        () = told.told() => return,
                        () = moved => {}
                        () = office.slot.filled.notified() => {}
                        _ = stop.pause(PULSE), if is_open => {}
                    }
                }
            })
        })
    }
}

impl House {
    /// The outboxes of the push gateway. Nothing leaves them before [`GatewayOffice::begin`].
    pub fn gateway(&self) -> &Arc<GatewayOffice> {
        &self.gateway
    }
}

/// A push gateway and nothing else: writers and outboxes over a store of its own.
pub struct LoneGateway {
    office: Arc<GatewayOffice>,
    pools: Arc<Pools>,
    running: Running,
}

impl LoneGateway {
    /// Opens writers and outboxes. Everything in the store is taken, whoever held it.
    pub async fn open(
        store: Arc<dyn LogStore>,
        env: Env,
        settings: GatewaySettings,
    ) -> Result<Self, StoreError> {
        let pools = Pools::open(store.clone(), env.clone(), PoolLimits::default()).await?;
        let opening = Opening::of(&store, &pools, Ways::Alone);
        let limits = DirectoryLimits::default();
        let office = GatewayOffice::open(&opening, (&env, settings), limits).await?;
        Ok(Self {
            running: office.keep_awake(None),
            office,
            pools,
        })
    }

    /// The outboxes.
    pub fn office(&self) -> &Arc<GatewayOffice> {
        &self.office
    }

    /// Outboxes finish what waits for them, writers commit what they were given. To be called when no requests come any more.
    pub async fn close(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.running.stop(left()).await;
        self.office.close(left()).await;
        self.pools.close(left()).await;
    }
}

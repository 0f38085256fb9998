//! A delivery: one task for one destination, from the first thing that waits until nothing does or an attempt fails.

use std::{pin::pin, sync::Arc, time::Duration};

use playhouse_schema::{
    address::Position,
    record::server::{Departed, Lag, ToDeviceRef},
};
use ruma::OwnedServerName;
use tokio::time::timeout;

use super::{
    Server, ServerAnswer, ServerCommand, ServerContext, ServerQuery, ServerSignal,
    board::{Direct, combined},
    body::{self, Batch, DIRECT_EDUS_MAX, EDUS_MAX},
    devices,
    slot::Slot,
    space::Space,
};
use crate::kernel::{Myself, Resident};

/// Who was sent everything is waited on for so long: what comes next takes the acknowledgement into the log.
const LINGER: Duration = Duration::from_secs(1);

/// What waits behind an attempt that takes longer than this is left to catching up.
const HELD_BACK_MAX: Duration = Duration::from_secs(5);

/// After trouble of our own it is tried again so much later.
const TROUBLE_WAIT_MS: u64 = 5_000;

/// Long ago: who waits until then is tried at the next look.
const AT_ONCE_MS: u64 = 1;

/// Why a delivery ends early.
pub(super) enum Halt {
    /// The destination did not take a transaction. That is recorded.
    Failed,
    /// Trouble of our own: the store, a room, or the actor has ended.
    Trouble(String),
    /// The house closes.
    Closing,
}

impl<E: std::error::Error> From<E> for Halt {
    fn from(error: E) -> Self {
        Halt::Trouble(error.to_string())
    }
}

/// Whether a delivery should run now.
pub(super) fn is_due(context: &ServerContext, name: &OwnedServerName) -> bool {
    let now_ms = context.env.now_ms();
    !context.board.is_closing() && context.board.slot(name).is_due(now_ms)
}

/// Starts a delivery.
pub(super) fn start(resident: &Resident<Server>, name: OwnedServerName) {
    let context = resident.context.clone();
    let slot = context.board.slot(&name);
    // It begins with all that is recorded.
    slot.take_owes();
    let myself = resident.myself.clone();
    let delivery = Delivery {
        slot,
        name,
        myself: myself.clone(),
        state: (*resident.state).clone(),
        acknowledged: None,
        is_rereading: true,
        context,
    };
    let engaged = delivery.slot.engage();
    ractor::concurrency::spawn(async move {
        delivery.run().await;
        drop(engaged);
        myself.signal(ServerSignal::Ended);
    });
}

/// See the module's documentation.
pub(super) struct Delivery {
    pub(super) context: Arc<ServerContext>,
    pub(super) slot: Arc<Slot>,
    pub(super) name: OwnedServerName,
    myself: Myself<Server>,
    /// As the actor has it: but for what is owed it changes by this delivery's commands only.
    pub(super) state: Server,
    /// The transaction in flight, when it was acknowledged and that is not recorded yet.
    pub(super) acknowledged: Option<String>,
    /// What was sent in an earlier life may be read again yet.
    is_rereading: bool,
}

impl Delivery {
    async fn run(mut self) {
        match self.work().await {
            Ok(()) | Err(Halt::Failed | Halt::Closing) => {}
            Err(Halt::Trouble(error)) => {
                tracing::warn!(destination = %self.name, %error, "delivery interrupted");
                let next_ms = self.context.env.now_ms() + TROUBLE_WAIT_MS;
                self.slot.wait_until(next_ms);
            }
        }
    }

    async fn work(&mut self) -> Result<(), Halt> {
        if self.state.lag.is_some() {
            self.slot.noted();
        }
        self.send_in_flight().await?;
        if self.state.lag.is_some() {
            // How far it has come begins behind what was in flight.
            self.record_acknowledgement().await?;
        }
        let done = self.state.done.clone();
        loop {
            if self.context.board.is_closing() {
                self.record_acknowledgement().await?;
                return Err(Halt::Closing);
            }
            if self.slot.take_owes() {
                self.hear_owed().await?;
            }
            if let Some(lag) = self.slot.to_note() {
                self.command(ServerCommand::LagBehind(lag)).await?;
                self.slot.noted();
            }
            if self.slot.is_behind() {
                self.catch_up().await?;
                continue;
            }
            if let Some(owed) = self.state.owed.first() {
                let batch = Batch::of_owed(owed);
                self.send(batch).await?;
                continue;
            }
            let batch = self.next_batch(&done);
            if !batch.is_empty() {
                self.send(batch).await?;
                continue;
            }
            let came = timeout(LINGER, self.slot.news.notified()).await.is_ok();
            if came {
                continue;
            }
            self.record_acknowledgement().await?;
            self.slot.finished();
            let is_done = self.slot.look(|waiting| waiting.is_empty());
            if is_done && !self.slot.is_behind() {
                return Ok(());
            }
        }
    }

    /// Sends what an earlier life, or an earlier attempt, has not brought over.
    async fn send_in_flight(&mut self) -> Result<(), Halt> {
        match self.state.in_flight.clone() {
            Some(departed) if self.acknowledged.is_none() => self.attempt(&departed).await,
            _ => Ok(()),
        }
    }

    /// Learns what others have told the actor that the destination is owed.
    async fn hear_owed(&mut self) -> Result<(), Halt> {
        let ServerAnswer::State(state) = self.myself.ask(ServerQuery::State).await? else {
            return Err(Halt::Trouble("unexpected answer to State".to_owned()));
        };
        self.state.owed = state.owed.clone();
        Ok(())
    }

    /// What goes next. A new life reads the log from some seconds before the end of the last one: what transactions brought since then is not sent again.
    fn next_batch(&mut self, done: &Lag) -> Batch {
        if !self.is_rereading {
            return self.slot.look(Batch::of);
        }
        let distributed = self.context.board.positions();
        self.is_rereading = combined(done, &distributed, Position::max) != distributed;
        self.slot.look(|waiting| {
            waiting.drop_done(done);
            Batch::of(waiting)
        })
    }

    /// Puts a batch on its way.
    pub(super) async fn send(&mut self, mut batch: Batch) -> Result<(), Halt> {
        let mut departed = self.fill(&mut batch).await?;
        let is_idle = departed.progress == Default::default() && departed.owed == 0;
        let is_empty =
            departed.events.is_empty() && departed.to_device.is_empty() && departed.edus.is_empty();
        if is_empty && is_idle {
            self.slot.look(|waiting| batch.forget(waiting));
            return Ok(());
        }
        // What is only volatile is told again, or lost, with this process.
        if is_idle && !batch.is_durable() {
            return self.attempt(&departed).await;
        }
        departed.done = self.slot.done_with(&batch, &self.context.board);
        let command = ServerCommand::Depart {
            departed: Box::new(departed.clone()),
            acknowledged: self.acknowledged.take(),
        };
        self.command(command).await?;
        self.slot.look(|waiting| batch.forget(waiting));
        self.attempt(&departed).await
    }

    /// The transaction that a batch makes. What has no room in it is taken out of the batch again.
    async fn fill(&self, batch: &mut Batch) -> Result<Departed, Halt> {
        let now_ms = self.context.env.now_ms();
        let mut departed = batch.departed.clone();
        let mut edus: Vec<Vec<u8>> = Vec::new();
        for (room_id, place) in &batch.events {
            body::add_event(&mut departed.events, room_id.as_str(), place.sequence);
        }
        let volatile = batch.volatile_edus(now_ms);
        let mut space = Space::of(batch.events.len(), DIRECT_EDUS_MAX);
        let mut taken = 0;
        for (direct, place) in &batch.direct {
            let (message, told) = match direct {
                Direct::ToDevice(user_id) => (Some((user_id, place.sequence)), Vec::new()),
                Direct::Devices(user_id) => {
                    let told = devices::edus(&self.context, user_id, place.sequence);
                    (None, told.await?)
                }
                Direct::Arrival(user_id) => (None, devices::all(&self.context, user_id).await?),
            };
            let mut told: Vec<_> = told
                .iter()
                .map(|edu| edu.to_string().into_bytes())
                .collect();
            let mut bytes: usize = told.iter().map(Vec::len).sum();
            // What is alone goes out, however large it is.
            if let Some((user_id, sequence)) = message
                && batch.direct.len() > 1
            {
                let sending = (user_id.as_str(), sequence);
                bytes += body::sending_bytes(&*self.context.store, sending).await?;
            }
            let parts = told.len() + usize::from(message.is_some());
            if !space.take(parts, bytes) {
                if taken > 0 {
                    break;
                }
                // Somebody has more devices than that: whoever hears of the first ones asks for the others.
                let all = Space::of(batch.events.len(), EDUS_MAX.saturating_sub(volatile.len()));
                told.truncate(all.fitting(told.iter().map(Vec::len)));
                space = Space::of(0, 0);
            }
            departed
                .to_device
                .extend(message.map(|(user_id, sequence)| ToDeviceRef {
                    user_id: user_id.to_string(),
                    sequence,
                }));
            edus.extend(told);
            taken += 1;
        }
        batch.direct.truncate(taken);
        edus.extend(volatile.iter().map(|edu| edu.to_string().into_bytes()));
        edus.truncate(EDUS_MAX.saturating_sub(departed.to_device.len() + departed.edus.len()));
        departed.edus.extend(edus.into_iter().map(Into::into));
        departed.transaction_id = self.context.env.random_string(20);
        departed.at_ms = now_ms;
        Ok(departed)
    }

    /// Waits for something; what comes for the destination in a long wait is left to catching up, so that it holds nobody back.
    pub(super) async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Halt> {
        let mut work = pin!(work);
        let mut late = pin!(tokio::time::sleep(HELD_BACK_MAX));
        let mut is_late = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = &mut late, if !is_late => is_late = true,
                () = self.slot.news.notified() => {}
            }
            if self.context.board.is_closing() {
                return Err(Halt::Closing);
            }
            if (is_late && self.slot.holds_back()) || self.slot.to_note().is_some() {
                self.fall_behind().await?;
            }
        }
    }

    async fn fall_behind(&mut self) -> Result<(), Halt> {
        if let Some(lag) = self.slot.fall_behind(&self.context.board) {
            self.command(ServerCommand::LagBehind(lag)).await?;
            self.slot.noted();
        }
        Ok(())
    }

    pub(super) async fn fail(&mut self) -> Result<(), Halt> {
        let next_ms = self.next_attempt_ms();
        let lag = self.slot.fall_behind(&self.context.board);
        self.command(ServerCommand::Fail { next_ms, lag }).await?;
        self.slot.noted();
        // What came while the attempt hung in the air is a sign that another one may fare better.
        let is_revived = self.slot.is_revived();
        self.slot
            .wait_until(if is_revived { AT_ONCE_MS } else { next_ms });
        Err(Halt::Failed)
    }

    /// A quarter of the time since it fails, at least and at most what is configured, and a little by chance.
    fn next_attempt_ms(&self) -> u64 {
        let now_ms = self.context.env.now_ms();
        let settings = &self.context.settings;
        let failing_ms = match self.state.failures {
            0 => 0,
            _ => now_ms.saturating_sub(self.state.failing_since_ms),
        };
        let wait_ms = (failing_ms / 4).clamp(
            settings.retry_wait_ms,
            settings.retry_wait_max_ms.max(settings.retry_wait_ms),
        );
        let [chance] = self.context.env.random_bytes::<1>();
        now_ms + wait_ms + wait_ms * u64::from(chance) / 1_024
    }

    pub(super) async fn record_acknowledgement(&mut self) -> Result<(), Halt> {
        if let Some(id) = self.acknowledged.take() {
            self.command(ServerCommand::Acknowledge(id)).await?;
        }
        Ok(())
    }

    /// A round of catching up is over: where it stands.
    pub(super) async fn end_round(&mut self, target: Lag) -> Result<(), Halt> {
        self.record_acknowledgement().await?;
        let is_level = self.slot.end_round(&target);
        let lag = (!is_level).then_some(target);
        self.command(ServerCommand::CatchUp(lag)).await
    }

    async fn command(&mut self, command: ServerCommand) -> Result<(), Halt> {
        let records = self.myself.carry_out(command).await?;
        for record in &records {
            self.state.take_in(record);
        }
        Ok(())
    }
}

//! The canary: an account of this server's own sends messages to a room of its own, and watches whether its sync tells all of them, and how soon.
//!
//! A message goes the way of everybody's: room, writer, log, feed, waiting sync. Only the HTTP before it is left out, so that it does not matter how a node
//! listens.

mod nest;
mod watching;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use playhouse_actors::{
    house::{House, HouseError, PurgeEnd, PurgeWish},
    room::message::SendEvent,
    user::message::SyncQuery,
};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::json;
use tokio::time::Instant;

use self::watching::Watching;
use crate::{config, edge::App};

/// The type of its messages.
const EVENT_TYPE: &str = "playhouse.canary";

/// Its one device.
const DEVICE: &str = "CANARY";

/// Starts it, if one is wanted.
pub(crate) fn start(app: &Arc<App>) -> Option<tokio::task::JoinHandle<()>> {
    let settings = app.config.canary.clone();
    let house = app.house.clone();
    settings
        .enabled
        .then(|| tokio::spawn(live(house, settings)))
}

/// Whether an account is a canary's, of this node or another one: nobody gets into it, whoever vouches for them.
pub(crate) async fn owns(app: &App, user_id: &UserId) -> Result<bool, HouseError> {
    let rest = user_id
        .localpart()
        .strip_prefix(app.config.canary.localpart.as_str());
    let has_nodes = app.house.ward().is_some();
    let is_named_so = |rest: &str| rest.is_empty() || (has_nodes && rest.starts_with('-'));
    if !rest.is_some_and(is_named_so) {
        return Ok(false);
    }
    let account = app.house.account(user_id).await?;
    Ok(nest::is_nobodys(&account))
}

/// An account with a device, and a room.
struct Canary {
    house: Arc<House>,
    settings: config::Canary,
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    room_id: OwnedRoomId,
    watching: Watching,
    /// Where the last sync ended.
    since: String,
    /// So many messages were sent in this life.
    sent: u64,
}

async fn live(house: Arc<House>, settings: config::Canary) {
    let every = Duration::from_millis(settings.every_ms);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut canary = None;
    loop {
        ticks.tick().await;
        if let Err(error) = sing(&mut canary, (&house, &settings)).await {
            metrics::counter!("playhouse_canary_failures_total").increment(1);
            tracing::warn!(%error, "the canary cannot sing");
            // Its room or its account may have gone.
            canary = None;
        }
    }
}

/// One round of the canary, which settles first if it has not.
async fn sing(
    canary: &mut Option<Canary>,
    (house, settings): (&Arc<House>, &config::Canary),
) -> Result<(), HouseError> {
    if canary.is_none() {
        *canary = Some(Canary::settle(house, settings).await?);
    }
    match canary {
        Some(canary) => canary.sing().await,
        None => Ok(()),
    }
}

impl Canary {
    /// The account and the room of former lives, or new ones.
    async fn settle(house: &Arc<House>, settings: &config::Canary) -> Result<Self, HouseError> {
        let user_id = nest::user_id(house, &settings.localpart)?;
        let device_id = OwnedDeviceId::from(DEVICE);
        nest::have_account(house, &user_id, &device_id).await?;
        let room_id = nest::room_of(house, &user_id).await?;
        let mut canary = Self {
            house: house.clone(),
            settings: settings.clone(),
            watching: Watching::new(house.env().random_string(12)),
            user_id,
            device_id,
            room_id,
            since: String::new(),
            sent: 0,
        };
        // What was before is not watched.
        let told = canary.ask(Duration::ZERO).await?;
        canary.take(&told)?;
        Ok(canary)
    }

    /// One message, and what the syncs tell until it is among it. The first of them waits for it already.
    async fn sing(&mut self) -> Result<(), HouseError> {
        self.sent += 1;
        let number = self.sent;
        let within = Duration::from_millis(self.settings.timeout_ms);
        let began = Instant::now();
        let (event_id, told) = tokio::try_join!(self.send(number), self.ask(within))?;
        self.take(&told)?;
        self.hear(number, (began, within)).await?;
        // With the first one, too: lives may be too short for a whole history.
        if number % self.settings.history_max.max(2) == 1 {
            self.clear_away(event_id).await;
        }
        Ok(())
    }

    /// Asks until a message was told, or its time is up.
    async fn hear(
        &mut self,
        number: u64,
        (began, within): (Instant, Duration),
    ) -> Result<(), HouseError> {
        while self.watching.seen() < number {
            let left = within.saturating_sub(began.elapsed());
            if left.is_zero() {
                metrics::counter!("playhouse_canary_late_total").increment(1);
                tracing::warn!(number, "no sync has told the canary's message in time");
                return Ok(());
            }
            let told = self.ask(left).await?;
            self.take(&told)?;
        }
        metrics::histogram!("playhouse_canary_seconds").record(began.elapsed().as_secs_f64());
        metrics::gauge!("playhouse_canary_last_seen_seconds").set(now_s(&self.house));
        Ok(())
    }

    async fn send(&self, number: u64) -> Result<OwnedEventId, HouseError> {
        let content = json!({"life": self.watching.life(), "number": number});
        let event = SendEvent::new(self.user_id.clone(), EVENT_TYPE.into(), content.to_string());
        self.house.send_event(&self.room_id, event).await
    }

    /// One sync, which waits so long for something to tell.
    async fn ask(&self, within: Duration) -> Result<Bytes, HouseError> {
        let query = SyncQuery {
            device_id: self.device_id.clone(),
            since: Some(self.since.clone()).filter(|since| !since.is_empty()),
            filter: Some(watching::filter(&self.room_id)),
            full_state: false,
            set_presence: None,
            timeout_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            state_after: false,
        };
        self.house.sync(&self.user_id, query).await
    }

    /// Takes in what a sync has told.
    fn take(&mut self, told: &[u8]) -> Result<(), HouseError> {
        let (since, gaps) = self.watching.take(&self.room_id, told)?;
        self.since = since;
        if gaps > 0 {
            metrics::counter!("playhouse_canary_gaps_total").increment(gaps);
            tracing::error!(gaps, "syncs have left out messages of the canary");
        }
        Ok(())
    }

    /// Old messages go.
    async fn clear_away(&self, up_to: OwnedEventId) {
        let wish = PurgeWish {
            room_id: self.room_id.clone(),
            up_to: PurgeEnd::Event(up_to),
            local_too: true,
        };
        if let Err(error) = self.house.begin_purge(wish, &self.user_id).await {
            tracing::warn!(%error, "old messages of the canary cannot be taken away");
        }
    }
}

fn now_s(house: &House) -> f64 {
    house.env().now_ms() as f64 / 1_000.0
}

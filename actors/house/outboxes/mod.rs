//! What is sent to other servers, as the house sees it.

mod heard;

use std::{sync::Arc, time::Duration};

use playhouse_schema::{
    address::{Entity, Shard},
    models::{
        Model as _,
        destinations::{self, Destination, Destinations, Wanted},
        server_rooms::{self, ServerRooms},
        to_device_out::ToDeviceOut,
    },
    port::LogStore,
};
use ruma::ServerName;
use tokio::time::Instant;

use heard::Heard;

use super::{House, HouseError, surprise};
use crate::{
    env::Env,
    followers::{
        feeds::board::FeedBoard,
        models::Models,
        outboxes,
        task::{Running, Source},
    },
    kernel::Directory,
    room::Room,
    server::{
        OutboxBoard, Outlook, SentEvent, Server, ServerAnswer, ServerError, ServerQuery,
        ServerSignal, board::BoardCounts,
    },
};

/// The models that only sending needs.
pub(super) const MODELS: [&str; 3] = [Destinations::NAME, ServerRooms::NAME, ToDeviceOut::NAME];

/// A destination to which nothing was sent for so long sleeps: that one is dead should not keep its actor in memory.
pub(super) const IDLE_MS: u64 = 60_000;

/// A delivery that can end does so in less.
const ENDING: Duration = Duration::from_secs(2);

/// Destinations and what waits for them.
pub(super) struct Outboxes {
    pub(super) servers: Arc<Directory<Server>>,
    pub(super) rooms: Arc<Directory<Room>>,
    pub(super) models: Arc<Models>,
    pub(super) board: Arc<OutboxBoard>,
    /// Of whom other nodes were told that they live.
    pub(super) heard: Heard,
}

impl Outboxes {
    /// Starts the follower that feeds them.
    pub(super) fn start(&self, source: Source, feeds: &FeedBoard, env: &Env) -> Running {
        let (ears, heard) = outboxes::ears(env.server_name().to_owned());
        feeds.relay_to(Arc::new(ears));
        let parts = outboxes::Parts {
            rooms: self.rooms.clone(),
            servers: self.servers.clone(),
            board: self.board.clone(),
            models: self.models.clone(),
            env: env.clone(),
        };
        outboxes::start(source, parts, heard)
    }

    /// Destinations of a shard have come here.
    pub(super) fn taken(&self, shard: Shard) {
        self.board.want(shard.number);
    }

    /// The destinations of a shard have gone from here.
    pub(super) async fn left(&self, store: &dyn LogStore, shard: Shard) {
        outboxes::leave(store, &self.board, shard.number).await;
    }

    /// Ends what is on its way; it goes on from there in the next life.
    pub(super) async fn close(&self, within: Duration) {
        let deadline = Instant::now() + within.min(ENDING);
        self.board.close();
        while self.board.is_delivering() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let left = within.saturating_sub(ENDING.min(within));
        self.servers
            .close(left.max(Duration::from_millis(100)))
            .await;
    }
}

impl Drop for Outboxes {
    fn drop(&mut self) {
        // Deliveries hold on to the store: they must not outlive the house by as long as a dead server takes to answer.
        self.board.close();
    }
}

impl House {
    /// Another server gave a sign of life: whatever waits for it is tried at once. Costs a look into memory when nothing does; where another node has the
    /// destination, that one is told now and then.
    pub fn peer_alive(&self, server_name: &ServerName) {
        let Some(outboxes) = &self.outboxes else {
            return;
        };
        let now_ms = self.env.now_ms();
        let entity = || Entity::server(server_name.as_str());
        if outboxes.board.heeds(server_name, now_ms) {
            outboxes.servers.signal(&entity(), ServerSignal::Alive);
        } else if self.among.is_some()
            && !self.is_here(&entity())
            && outboxes.heard.is_news(server_name, now_ms)
        {
            outboxes.servers.signal(&entity(), ServerSignal::Heard);
        }
    }

    /// Destinations by name with their state, at most `limit` after `after`.
    pub async fn destinations(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Destination>, HouseError> {
        if self.outboxes.is_none() {
            return Ok(Vec::new());
        }
        self.models.caught_up(Destinations::NAME).await?;
        Ok(destinations::list(&**self.models.store(), after, limit).await?)
    }

    /// Destinations that are wanted, and how many there are in all.
    pub async fn find_destinations(
        &self,
        wanted: &Wanted,
    ) -> Result<(Vec<Destination>, u64), HouseError> {
        if self.outboxes.is_none() {
            return Ok((Vec::new(), 0));
        }
        self.models.caught_up(Destinations::NAME).await?;
        Ok(destinations::find(&**self.models.store(), wanted).await?)
    }

    /// A destination, if anything was ever sent to it.
    pub async fn known_destination(&self, name: &str) -> Result<Option<Destination>, HouseError> {
        if self.outboxes.is_none() {
            return Ok(None);
        }
        self.models.caught_up(Destinations::NAME).await?;
        Ok(destinations::get(&**self.models.store(), name).await?)
    }

    /// A page of the rooms in which a destination ever had a user, and how many there are in all.
    pub async fn rooms_of_destination(
        &self,
        name: &str,
        page: (u64, u64),
        backwards: bool,
    ) -> Result<(Vec<String>, u64), HouseError> {
        if self.outboxes.is_none() {
            return Ok((Vec::new(), 0));
        }
        self.models.caught_up(ServerRooms::NAME).await?;
        let store = &**self.models.store();
        Ok(server_rooms::page_of_server(store, name, page, backwards).await?)
    }

    /// What waits for a destination is tried at once, wherever it is served, however long it has failed.
    pub fn retry_destination(&self, server_name: &ServerName) {
        if let Some(outboxes) = &self.outboxes {
            let entity = Entity::server(server_name.as_str());
            outboxes.servers.signal(&entity, ServerSignal::Alive);
        }
    }

    /// All that is kept of a destination.
    pub async fn destination(&self, server_name: &ServerName) -> Result<Arc<Server>, HouseError> {
        let Some(outboxes) = &self.outboxes else {
            return Ok(Arc::default());
        };
        let entity = Entity::server(server_name.as_str());
        let state = outboxes.servers.query(entity, ServerQuery::State).await;
        match state.map_err(|error| HouseError::InvalidParam(error.to_string()))? {
            ServerAnswer::State(state) => Ok(state),
            ServerAnswer::Outlook(_) => Err(surprise("State")),
        }
    }

    /// How things stand with a destination, and with an event that is meant for it. `None` where there are no other servers.
    pub async fn outlook(
        &self,
        server_name: &ServerName,
        event: Option<SentEvent>,
    ) -> Result<Option<Outlook>, HouseError> {
        let Some(outboxes) = &self.outboxes else {
            return Ok(None);
        };
        let entity = Entity::server(server_name.as_str());
        let query = ServerQuery::Outlook(event);
        match outboxes.servers.query(entity, query).await {
            Ok(ServerAnswer::Outlook(outlook)) => Ok(Some(*outlook)),
            Ok(ServerAnswer::State(_)) => Err(surprise("Outlook")),
            Err(ServerError::Unavailable(error)) => Err(error.into()),
            Err(error) => Err(HouseError::Store(error.to_string())),
        }
    }

    /// How many destinations there are with something to do, and what waits for them.
    pub fn outbox_counts(&self) -> BoardCounts {
        let counts = self.outboxes.as_ref();
        counts.map_or_else(BoardCounts::default, |outboxes| outboxes.board.counts())
    }
}

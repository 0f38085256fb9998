//! What is left undone: destinations that lack something, and records that a reader of the log could not take in.

use futures_util::future::join_all;
use playhouse_schema::{
    address::{Entity, Position, Sequence, Shard},
    models::{
        Model as _,
        destinations::{self, Destination, Destinations},
        parked::{self, Parked},
        pushers::{self, ListedPusher, Pushers},
    },
};
use ruma::ServerName;

use super::{House, HouseError};
use crate::{admins::AdminError, pushers::NAME as PUSHES, server::Outlook};

/// A destination, and what it lacks.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// As the model knows it.
    pub destination: Destination,
    /// How things stand, of one that lacks something.
    pub outlook: Option<Outlook>,
    /// The oldest event that is on its way or waits, and when it was recorded, milliseconds since the Unix epoch.
    pub oldest: Option<OldestEvent>,
}

/// The oldest event that a destination lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldestEvent {
    /// The room.
    pub room_id: String,
    /// The event.
    pub event_id: String,
    /// When it was recorded, milliseconds since the Unix epoch.
    pub recorded_ms: u64,
}

impl Backlog {
    /// Whether it lacks something, as far as the model knows.
    fn is_unfinished(destination: &Destination) -> bool {
        destination.lags || destination.in_flight || destination.failures > 0
    }
}

/// Names something parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedPlace {
    /// The reader.
    pub reader: String,
    /// The record's shard …
    pub shard: Shard,
    /// … and position.
    pub position: Position,
}

impl ParkedPlace {
    fn parked(&self) -> Parked {
        Parked::at(&self.reader, self.shard, self.position)
    }
}

impl House {
    /// Destinations by name, at most `limit` after `after`: all, or only those that lack something. How things stand is asked of the latter only.
    pub async fn backlogs(
        &self,
        (after, limit): (&str, usize),
        only_unfinished: bool,
    ) -> Result<Vec<Backlog>, HouseError> {
        let found = if only_unfinished && self.outboxes.is_some() {
            self.models.caught_up(Destinations::NAME).await?;
            destinations::unfinished(&**self.models.store(), after, limit).await?
        } else {
            self.destinations(after, limit).await?
        };
        let told = join_all(found.into_iter().map(|one| self.backlog(one))).await;
        told.into_iter().collect()
    }

    async fn backlog(&self, destination: Destination) -> Result<Backlog, HouseError> {
        let mut backlog = Backlog {
            destination,
            outlook: None,
            oldest: None,
        };
        let name = <&ServerName>::try_from(backlog.destination.server_name.as_str());
        let Some(name) = name
            .ok()
            .filter(|_| Backlog::is_unfinished(&backlog.destination))
        else {
            return Ok(backlog);
        };
        let outlook = self.outlook(name, None).await?;
        let oldest = outlook.as_ref().and_then(|outlook| outlook.oldest.clone());
        if let Some((room_id, sequence)) = oldest {
            backlog.oldest = self.recorded_at(room_id, sequence).await?;
        }
        backlog.outlook = outlook;
        Ok(backlog)
    }

    async fn recorded_at(
        &self,
        room_id: String,
        sequence: Sequence,
    ) -> Result<Option<OldestEvent>, HouseError> {
        let entity = Entity::room(&room_id);
        let found = self.store.read_some(&entity, &[sequence]).await?;
        Ok(found.into_iter().next().and_then(|stored| {
            let event_id = stored.key.as_deref()?.to_owned();
            Some(OldestEvent {
                room_id,
                event_id,
                recorded_ms: stored.at_ms,
            })
        }))
    }

    /// Pushers by user, application and key, at most `limit` after another.
    pub async fn pushers(
        &self,
        after: &ListedPusher,
        limit: usize,
    ) -> Result<Vec<ListedPusher>, HouseError> {
        self.models.caught_up(Pushers::NAME).await?;
        Ok(pushers::list(&**self.models.store(), after, limit).await?)
    }

    /// Records that readers of the log could not take in, at most `limit` after another; and how many there are.
    pub async fn parked(
        &self,
        after: Option<&ParkedPlace>,
        limit: usize,
    ) -> Result<(Vec<Parked>, u64), HouseError> {
        let store = self.models.store();
        let found = match after {
            Some(place) => parked::after(&**store, &place.parked(), limit).await?,
            None => parked::all(&**store, limit).await?,
        };
        Ok((found, parked::count(&**store).await?))
    }

    /// Lets a parked record be tried again: by a follower soon, by a read model when it is opened the next time. Refused for pushes, which go on and never back.
    pub async fn retry_parked(&self, place: &ParkedPlace) -> Result<Parked, HouseError> {
        let found = self.parked_at(place).await?;
        if found.name == PUSHES {
            let reason = format!("{} never goes back to what it could not read", found.name);
            return Err(AdminError::Invalid(reason).into());
        }
        let store = self.models.store();
        store.apply(vec![found.again()], Vec::new()).await?;
        self.tail().note_parked();
        Ok(found)
    }

    /// Forgets a parked record: nobody tries it again, and what should have come of it does not.
    pub async fn discard_parked(&self, place: &ParkedPlace) -> Result<Parked, HouseError> {
        let found = self.parked_at(place).await?;
        let store = self.models.store();
        store.apply(vec![found.release()], Vec::new()).await?;
        Ok(found)
    }

    async fn parked_at(&self, place: &ParkedPlace) -> Result<Parked, HouseError> {
        let found = parked::one(&**self.models.store(), &place.parked()).await?;
        found.ok_or_else(|| AdminError::Unknown("nothing is parked there".to_owned()).into())
    }
}

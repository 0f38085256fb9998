//! Media: one piece, and what administrators do with many.

use std::{collections::BTreeSet, fmt, time::Duration};

use playhouse_schema::{
    address::{Entity, Sequence},
    models::{Model as _, media as kept},
    port::EntityRange,
    record::{
        codec::Record as _,
        quarantine::{QuarantineChange, QuarantineRecord},
        room::{RoomRecord, kind},
    },
};
use ruma::{MxcUri, OwnedServerName, RoomId, ServerName, UserId};
use serde::Deserialize;

use super::{House, HouseError, surprise};
use crate::{
    kernel::Unavailable,
    media::{
        MediaAnswer, MediaCommand, MediaError, MediaFacts, MediaQuery, MediaReply,
        ledger::NoteChange,
    },
    room::RoomError,
};

/// So many pieces of media, or records of a room, are looked at together.
const PAGE: usize = 200;

/// So many pieces of media are told of a room.
const IN_ROOM_MAX: usize = 100_000;

/// The list of changes is told in pieces of so many.
const CHANGES_PER_PAGE: usize = 100;

/// A piece of media, by its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MediaName {
    /// Whose it is.
    pub server_name: OwnedServerName,
    /// Its ID there.
    pub media_id: String,
}

impl MediaName {
    /// By server and ID.
    pub fn new(server_name: &ServerName, media_id: &str) -> Self {
        Self {
            server_name: server_name.to_owned(),
            media_id: media_id.to_owned(),
        }
    }

    /// By its `mxc://` address.
    pub fn of_uri(uri: &str) -> Option<Self> {
        let (server_name, media_id) = <&MxcUri>::from(uri).parts().ok()?;
        Some(Self::new(server_name, media_id))
    }
}

impl fmt::Display for MediaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mxc://{}/{}", self.server_name, self.media_id)
    }
}

/// A piece of the list of what was put away and given out again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineChanges {
    /// The changes, oldest first.
    pub changes: Vec<QuarantineChange>,
    /// Where to go on.
    pub next: Sequence,
}

impl House {
    /// Tells a piece of media to do something.
    pub async fn media_command(
        &self,
        media_id: &str,
        command: MediaCommand,
    ) -> Result<MediaReply, MediaError> {
        self.media.command(Entity::media(media_id), command).await
    }

    /// Asks a piece of media.
    pub async fn media_query(
        &self,
        media_id: &str,
        query: MediaQuery,
    ) -> Result<MediaAnswer, MediaError> {
        self.media.query(Entity::media(media_id), query).await
    }

    /// What a piece of media is, once its content is there or the time is up.
    pub async fn await_media(
        &self,
        media_id: &str,
        within: Duration,
    ) -> Result<MediaAnswer, MediaError> {
        let described = self.media_query(media_id, MediaQuery::Describe).await?;
        if within.is_zero() || matches!(described, MediaAnswer::There { .. }) {
            return Ok(described);
        }
        let entity = Entity::media(media_id);
        let awaited = self.media.query_within(entity, MediaQuery::Await, within);
        match awaited.await {
            Err(MediaError::Unavailable(Unavailable::Timeout)) => Ok(described),
            outcome => outcome,
        }
    }

    /// The name by which the house knows a piece of media: that of a copy has its server in front.
    pub fn media_key(&self, name: &MediaName) -> String {
        if self.is_local(&name.server_name) {
            name.media_id.clone()
        } else {
            format!("{}/{}", name.server_name, name.media_id)
        }
    }

    pub(super) fn media_name(&self, key: &str) -> Option<MediaName> {
        match key.split_once('/') {
            None => Some(MediaName::new(self.env.server_name(), key)),
            Some((server_name, media_id)) => {
                let server_name = ServerName::parse(server_name).ok()?;
                Some(MediaName::new(&server_name, media_id))
            }
        }
    }

    /// All there is to know of a piece of media.
    pub async fn media_facts(&self, name: &MediaName) -> Result<MediaFacts, HouseError> {
        let key = self.media_key(name);
        match self.media_query(&key, MediaQuery::Facts).await? {
            MediaAnswer::Facts(facts) => Ok(*facts),
            _ => Err(surprise("Facts")),
        }
    }

    /// Notes that a piece of media is being used, unless that was noted not so long ago. Nobody waits for it.
    pub fn note_media_use(&self, key: String, every_ms: u64) {
        let media = self.media.clone();
        self.background(async move {
            let command = MediaCommand::NoteUse { every_ms };
            let noted = media.command(Entity::media(&key), command).await;
            if let Err(error) = noted {
                tracing::debug!(%error, "cannot note the use of media");
            }
        });
    }

    /// Puts a piece of media away, with all that has the same content: nobody is given it any more. That of another server need not be here. Tells whether it
    /// was given out before.
    pub async fn quarantine_media(
        &self,
        name: &MediaName,
        by: &UserId,
    ) -> Result<bool, HouseError> {
        let changed = self.put_away(name, by.as_str()).await?;
        if let Some(uploaded) = self.media_facts(name).await?.uploaded
            && changed
        {
            self.put_away_twins(&uploaded.sha256, by.as_str()).await?;
        }
        Ok(changed)
    }

    /// Gives a piece of media out again. Tells whether it was put away.
    pub async fn release_media(
        &self,
        name: &MediaName,
        by: impl AsRef<str>,
    ) -> Result<bool, HouseError> {
        if self.media_facts(name).await?.quarantined_by.is_none() {
            return Ok(false);
        }
        self.note_quarantine(name, false).await?;
        let by = by.as_ref().to_owned();
        let command = MediaCommand::Release { by };
        Ok(self
            .media_command(&self.media_key(name), command)
            .await?
            .changed)
    }

    /// Puts all media of a user of this server away. Tells how many pieces were given out before.
    pub async fn quarantine_media_of_user(
        &self,
        user_id: &UserId,
        by: &UserId,
    ) -> Result<u64, HouseError> {
        self.models.caught_up(kept::Media::NAME).await?;
        let (mut after, mut count) = (String::new(), 0);
        loop {
            let store = self.models.store();
            let page = kept::free_of_user(&**store, user_id.as_str(), &after, PAGE).await?;
            let Some(last) = page.last().cloned() else {
                return Ok(count);
            };
            for key in page {
                if let Some(name) = self.media_name(&key) {
                    count += u64::from(self.put_away(&name, by.as_str()).await?);
                }
            }
            after = last;
        }
    }

    /// Puts all media away to which events of a room point. Tells how many pieces were given out before.
    pub async fn quarantine_media_in_room(
        &self,
        room_id: &RoomId,
        by: &UserId,
    ) -> Result<u64, HouseError> {
        let mut count = 0;
        for name in self.media_in_room(room_id).await? {
            match self.put_away(&name, by.as_str()).await {
                Ok(changed) => count += u64::from(changed),
                // Events may point to what never was.
                Err(HouseError::Media(MediaError::Unknown)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// All media to which events of a room point in a way that this server can read. A room that is not here is `UnknownRoom`.
    pub async fn media_in_room(&self, room_id: &RoomId) -> Result<BTreeSet<MediaName>, HouseError> {
        let entity = Entity::room(room_id.as_str());
        let mut found = BTreeSet::new();
        let mut from = 1;
        loop {
            let range = EntityRange {
                from,
                to: Sequence::MAX >> 1,
                backwards: false,
                limit: PAGE,
            };
            let page = self.store.read_entity(&entity, range).await?;
            let Some(last) = page.last().map(|record| record.sequence) else {
                break;
            };
            for record in page.iter().filter(|record| record.kind == kind::EVENT) {
                if let Some(RoomRecord::Event(event)) = RoomRecord::decode(record)? {
                    found.extend(pointed_to(&event.pdu));
                }
            }
            if found.len() >= IN_ROOM_MAX {
                break;
            }
            from = last + 1;
        }
        if from == 1 {
            return Err(RoomError::UnknownRoom.into());
        }
        Ok(found)
    }

    /// What was put away and given out again after a place in the list. A place that is not there yet is refused.
    pub async fn quarantine_changes(
        &self,
        from: Sequence,
    ) -> Result<QuarantineChanges, HouseError> {
        let entity = ledger();
        let heads = self
            .store
            .entity_heads(std::slice::from_ref(&entity))
            .await?;
        let head = heads.into_iter().flatten().next();
        let head = head.map_or(0, |head| head.sequence);
        if from > head {
            return Err(HouseError::InvalidParam(
                "there is no such place in the list".to_owned(),
            ));
        }
        let range = EntityRange {
            from: from + 1,
            to: head,
            backwards: false,
            limit: CHANGES_PER_PAGE,
        };
        let page = self.store.read_entity(&entity, range).await?;
        let next = page.last().map_or(head, |record| record.sequence);
        let mut changes = Vec::new();
        for record in &page {
            if let Some(QuarantineRecord::Changed(change)) = QuarantineRecord::decode(record)? {
                changes.push(change);
            }
        }
        Ok(QuarantineChanges { changes, next })
    }

    /// One piece alone. The list says it first, so that it never lacks a change.
    pub(super) async fn put_away(&self, name: &MediaName, by: &str) -> Result<bool, HouseError> {
        let is_local = self.is_local(&name.server_name);
        match self.media_facts(name).await {
            Ok(facts) if facts.quarantined_by.is_some() || facts.protected => return Ok(false),
            Err(HouseError::Media(MediaError::Unknown)) if !is_local => {}
            known => drop(known?),
        }
        self.note_quarantine(name, true).await?;
        let command = MediaCommand::Quarantine { by: by.to_owned() };
        Ok(self
            .media_command(&self.media_key(name), command)
            .await?
            .changed)
    }

    async fn put_away_twins(&self, blob: &str, by: &str) -> Result<(), HouseError> {
        self.models.caught_up(kept::Media::NAME).await?;
        let mut after = String::new();
        loop {
            let page = kept::free_twins(&**self.models.store(), blob, &after, PAGE).await?;
            let Some(last) = page.last().cloned() else {
                return Ok(());
            };
            for key in page {
                if let Some(name) = self.media_name(&key) {
                    self.put_away(&name, by).await?;
                }
            }
            after = last;
        }
    }

    async fn note_quarantine(&self, name: &MediaName, quarantined: bool) -> Result<(), HouseError> {
        let change = QuarantineChange {
            server_name: name.server_name.to_string(),
            media_id: name.media_id.clone(),
            quarantined,
        };
        Ok(self
            .quarantine
            .command(ledger(), NoteChange(change))
            .await?)
    }
}

fn ledger() -> Entity {
    Entity::house("quarantine")
}

/// The media to which an event points: its own, and the small picture of it.
fn pointed_to(pdu: &[u8]) -> Vec<MediaName> {
    #[derive(Deserialize)]
    struct Pdu {
        content: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        #[serde(default, deserialize_with = "text")]
        url: Option<String>,
        #[serde(default)]
        info: serde_json::Value,
    }
    /// Anything may stand there.
    fn text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
        let value = serde_json::Value::deserialize(from)?;
        Ok(value.as_str().map(ToOwned::to_owned))
    }
    let Ok(Pdu { content }) = serde_json::from_slice(pdu) else {
        return Vec::new();
    };
    let small = content.info.get("thumbnail_url");
    let small = small.and_then(|url| url.as_str()).map(ToOwned::to_owned);
    [content.url, small]
        .into_iter()
        .flatten()
        .filter_map(|uri| MediaName::of_uri(&uri))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_point_to_media() {
        for (pdu, wanted) in [
            (
                r#"{"content":{"url":"mxc://a.b/c","info":{"thumbnail_url":"mxc://a.b/d"}}}"#,
                2,
            ),
            (
                r#"{"content":{"url":7,"info":[],"avatar_url":"mxc://a.b/c"}}"#,
                0,
            ),
            (r#"{"content":{"url":"https://a.b/c"}}"#, 0),
            (r#"{"content":{}}"#, 0),
            ("{", 0),
        ] {
            assert_eq!(pointed_to(pdu.as_bytes()).len(), wanted, "{pdu}");
        }
    }
}

//! Key backups: told and asked through their actor, read from the log.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::{Entity, Sequence},
    port::LogStore,
    record::{backup::BackupRecord, backup::SessionStored, codec::Record as _},
};
use ruma::UserId;

use super::{House, HouseError, surprise};
use crate::{
    backup::{
        BackupAnswer, BackupCommand, BackupQuery, BackupReply,
        message::{Description, Selection},
    },
    user::UserError,
};

/// So many sessions are read at once: about half a megabyte of usual ones.
const PAGE_SESSIONS: usize = 500;

/// The sessions of a backup, read piece by piece: a large one never is in memory as a whole.
pub struct StoredSessions {
    store: Arc<dyn LogStore>,
    entity: Entity,
    /// What is still to be read, newest room last: rooms are taken from the end.
    rooms: Vec<(String, Vec<Sequence>)>,
}

impl StoredSessions {
    /// The next sessions, those of a room together; `None` at the end. What was replaced or deleted in the meantime is left out.
    pub async fn next(&mut self) -> Result<Option<Vec<SessionStored>>, HouseError> {
        while !self.rooms.is_empty() {
            let wanted = self.page();
            let mut ascending = wanted.clone();
            ascending.sort_unstable();
            let stored = self.store.read_some(&self.entity, &ascending).await?;
            let mut found = BTreeMap::new();
            for record in &stored {
                if let Some(BackupRecord::SessionStored(session)) = BackupRecord::decode(record)? {
                    found.insert(record.sequence, session);
                }
            }
            let page: Vec<_> = wanted
                .iter()
                .filter_map(|sequence| found.remove(sequence))
                .collect();
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn page(&mut self) -> Vec<Sequence> {
        let mut page = Vec::with_capacity(PAGE_SESSIONS);
        while page.len() < PAGE_SESSIONS
            && let Some((_, places)) = self.rooms.last_mut()
        {
            let taken = places.len().min(PAGE_SESSIONS - page.len());
            page.extend(places.drain(..taken));
            if places.is_empty() {
                self.rooms.pop();
            }
        }
        page
    }
}

impl House {
    /// Tells a user's key backups to do something.
    pub async fn backup_command(
        &self,
        user_id: &UserId,
        command: BackupCommand,
    ) -> Result<BackupReply, HouseError> {
        let entity = self.backup_entity(user_id)?;
        Ok(self.backups.command(entity, command).await?)
    }

    /// A version of a user's key backups; the current one when none is named.
    pub async fn backup_version(
        &self,
        user_id: &UserId,
        version: Option<String>,
    ) -> Result<Description, HouseError> {
        let entity = self.backup_entity(user_id)?;
        let query = BackupQuery::Describe(version);
        match self.backups.query(entity, query).await? {
            BackupAnswer::Version(description) => Ok(description),
            BackupAnswer::Places(_) => Err(surprise("Describe")),
        }
    }

    /// Sessions of a user's key backups.
    pub async fn backup_sessions(
        &self,
        user_id: &UserId,
        selection: Selection,
    ) -> Result<StoredSessions, HouseError> {
        let entity = self.backup_entity(user_id)?;
        let query = BackupQuery::Find(selection);
        match self.backups.query(entity.clone(), query).await? {
            BackupAnswer::Places(mut rooms) => {
                rooms.reverse();
                Ok(StoredSessions {
                    store: self.store.clone(),
                    entity,
                    rooms,
                })
            }
            BackupAnswer::Version(_) => Err(surprise("Find")),
        }
    }

    fn backup_entity(&self, user_id: &UserId) -> Result<Entity, HouseError> {
        if self.is_local(user_id.server_name()) {
            Ok(Entity::backup(user_id.as_str()))
        } else {
            Err(UserError::UnknownUser.into())
        }
    }
}

//! What the backups own, and how they change.

use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, Vector};
use playhouse_schema::{
    address::Sequence,
    chain,
    record::backup::{BackupRecord, SessionQuality, SessionStored, SessionsDeleted},
};
use serde::{Deserialize, Serialize};

use super::message::{BackupAnswer, BackupError, BackupQuery, Description, Extent, Selection};

/// A session's name within its room: 128 bits of the hash of its ID, so that a session costs the same whatever its ID.
type SessionName = (u64, u64);

/// What a session costs in memory, about.
const SESSION_WEIGHT_BYTES: usize = 72;

/// What a room costs in memory, about.
const ROOM_WEIGHT_BYTES: usize = 256;

/// The key backups of a user: a fold of their records. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    pub(super) versions: OrdMap<u64, Version>,
    /// The number of the newest version there ever was.
    pub(super) newest: u64,
    /// Records of sessions that nothing refers to any more, to be erased; oldest first.
    garbage: Vector<Sequence>,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) algorithm: Arc<str>,
    auth_data: Arc<str>,
    /// Counts changes of the sessions.
    pub(super) etag: u64,
    count: u64,
    rooms: OrdMap<Arc<str>, OrdMap<SessionName, Kept>>,
}

/// A session that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// The record that holds it.
    sequence: Sequence,
    /// How good it is. Numbers beyond 32 bits count as equally bad.
    first_message_index: u32,
    forwarded_count: u32,
    is_verified: bool,
}

impl Kept {
    fn new(sequence: Sequence, quality: SessionQuality) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            sequence,
            first_message_index: small(quality.first_message_index),
            forwarded_count: small(quality.forwarded_count),
            is_verified: quality.is_verified,
        }
    }

    /// Smaller is better: verified ones first, then what decrypts more, then what went through fewer hands.
    fn rank(&self) -> (bool, u32, u32) {
        (
            !self.is_verified,
            self.first_message_index,
            self.forwarded_count,
        )
    }
}

/// Whether one copy of a session is better than another.
pub(super) fn is_better(copy: SessionQuality, than: SessionQuality) -> bool {
    Kept::new(0, copy).rank() < Kept::new(0, than).rank()
}

impl Version {
    /// Whether a copy of a session would replace what is there.
    pub(super) fn wants(&self, room_id: &str, session_id: &str, quality: SessionQuality) -> bool {
        let kept = self
            .rooms
            .get(room_id)
            .and_then(|room| room.get(&session_name(session_id)));
        kept.is_none_or(|kept| Kept::new(0, quality).rank() < kept.rank())
    }

    pub(super) fn has(&self, room_id: &str, session_id: &str) -> bool {
        self.rooms
            .get(room_id)
            .is_some_and(|room| room.contains_key(&session_name(session_id)))
    }

    pub(super) fn auth_data_is(&self, auth_data: &str) -> bool {
        *self.auth_data == *auth_data
    }

    /// Whether a deletion would delete anything.
    pub(super) fn holds(&self, room_id: Option<&str>, session_id: Option<&str>) -> bool {
        match (room_id, session_id) {
            (None, _) => self.count > 0,
            (Some(room_id), None) => self.rooms.contains_key(room_id),
            (Some(room_id), Some(session_id)) => self.has(room_id, session_id),
        }
    }

    pub(super) fn extent(&self) -> Extent {
        Extent {
            count: self.count,
            etag: self.etag.to_string(),
        }
    }

    fn store(&mut self, sequence: Sequence, stored: &SessionStored) -> Option<Sequence> {
        self.etag = stored.etag;
        let kept = Kept::new(sequence, stored.quality);
        let room = self
            .rooms
            .entry(stored.room_id.as_str().into())
            .or_default();
        let former = room.insert(session_name(&stored.session_id), kept);
        self.count += u64::from(former.is_none());
        former.map(|former| former.sequence)
    }

    fn delete(&mut self, deleted: &SessionsDeleted) -> Vec<Sequence> {
        self.etag = deleted.etag;
        let gone = match (&deleted.room_id, &deleted.session_id) {
            (None, _) => std::mem::take(&mut self.rooms)
                .values()
                .flat_map(sequences)
                .collect(),
            (Some(room_id), None) => self
                .rooms
                .remove(room_id.as_str())
                .map(|room| sequences(&room).collect())
                .unwrap_or_default(),
            (Some(room_id), Some(session_id)) => self.delete_one(room_id, session_id),
        };
        self.count = self.count.saturating_sub(gone.len() as u64);
        gone
    }

    fn delete_one(&mut self, room_id: &str, session_id: &str) -> Vec<Sequence> {
        let Some(room) = self.rooms.get_mut(room_id) else {
            return Vec::new();
        };
        let gone = room.remove(&session_name(session_id));
        if room.is_empty() {
            self.rooms.remove(room_id);
        }
        gone.into_iter().map(|kept| kept.sequence).collect()
    }

    fn places(&self, room_id: Option<&str>) -> Vec<(String, Vec<Sequence>)> {
        self.rooms
            .iter()
            .filter(|(known, _)| room_id.is_none_or(|wanted| ***known == *wanted))
            .map(|(room_id, room)| {
                let mut places: Vec<_> = sequences(room).collect();
                places.sort_unstable();
                (room_id.to_string(), places)
            })
            .collect()
    }
}

impl Backup {
    /// Takes in one record.
    pub(super) fn take_in(&mut self, sequence: Sequence, record: &BackupRecord) {
        match record {
            BackupRecord::VersionCreated(created) => {
                self.newest = created.version;
                let version = Version {
                    algorithm: created.algorithm.as_str().into(),
                    auth_data: text(&created.auth_data),
                    etag: 0,
                    count: 0,
                    rooms: OrdMap::new(),
                };
                self.versions.insert(created.version, version);
            }
            BackupRecord::AuthDataSet(set) => {
                if let Some(version) = self.versions.get_mut(&set.version) {
                    version.auth_data = text(&set.auth_data);
                }
            }
            BackupRecord::VersionDeleted(number) => {
                if let Some(version) = self.versions.remove(number) {
                    let gone = version.rooms.values().flat_map(sequences);
                    self.garbage.extend(gone.collect::<Vec<_>>());
                }
            }
            BackupRecord::SessionStored(stored) => {
                // A session of a version that is gone was in flight to nowhere.
                let former = match self.versions.get_mut(&stored.version) {
                    Some(version) => version.store(sequence, stored),
                    None => Some(sequence),
                };
                self.garbage.extend(former);
            }
            BackupRecord::SessionsDeleted(deleted) => {
                if let Some(version) = self.versions.get_mut(&deleted.version) {
                    let gone = version.delete(deleted);
                    self.garbage.extend(gone);
                }
            }
            // After a replay from the first record on they were never garbage: they were read as erased.
            BackupRecord::Swept(swept) => {
                while let Some(first) = self.garbage.front()
                    && swept.contains(first)
                {
                    self.garbage.pop_front();
                }
            }
            BackupRecord::SessionErased => {}
        }
    }

    /// The current version.
    pub(super) fn current(&self) -> Option<(u64, &Version)> {
        self.versions
            .get_max()
            .map(|(number, version)| (*number, version))
    }

    /// A version by its name.
    pub(super) fn version(&self, name: &str) -> Result<(u64, &Version), BackupError> {
        let number = name.parse::<u64>().ok();
        number
            .filter(|number| number.to_string() == name)
            .and_then(|number| Some((number, self.versions.get(&number)?)))
            .ok_or(BackupError::UnknownVersion)
    }

    /// Sessions in all versions.
    pub(super) fn sessions(&self) -> u64 {
        self.versions.values().map(|version| version.count).sum()
    }

    /// Whether there is something to erase.
    pub(super) fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// The oldest of what is to be erased.
    pub(super) fn garbage(&self, limit: usize) -> Vec<Sequence> {
        self.garbage.iter().take(limit).copied().collect()
    }

    /// Answers a query.
    pub(super) fn tell(&self, query: &BackupQuery) -> Result<BackupAnswer, BackupError> {
        match query {
            BackupQuery::Describe(name) => {
                let (number, version) = match name {
                    Some(name) => self.version(name)?,
                    None => self.current().ok_or(BackupError::UnknownVersion)?,
                };
                Ok(BackupAnswer::Version(Description {
                    version: number.to_string(),
                    algorithm: version.algorithm.to_string(),
                    auth_data: version.auth_data.to_string(),
                    extent: version.extent(),
                }))
            }
            BackupQuery::Find(selection) => self.find(selection).map(BackupAnswer::Places),
        }
    }

    fn find(&self, selection: &Selection) -> Result<Vec<(String, Vec<Sequence>)>, BackupError> {
        let (_, version) = self.version(&selection.version)?;
        let (Some(room_id), Some(session_id)) = (&selection.room_id, &selection.session_id) else {
            return Ok(version.places(selection.room_id.as_deref()));
        };
        let kept = version
            .rooms
            .get(room_id.as_str())
            .and_then(|room| room.get(&session_name(session_id)))
            .ok_or(BackupError::UnknownSession)?;
        Ok(vec![(room_id.clone(), vec![kept.sequence])])
    }

    pub(super) fn weight_bytes(&self) -> usize {
        let versions: usize = self
            .versions
            .values()
            .map(|version| {
                256 + version.auth_data.len()
                    + version.rooms.len() * ROOM_WEIGHT_BYTES
                    + version.count as usize * SESSION_WEIGHT_BYTES
            })
            .sum();
        512 + versions + self.garbage.len() * 8
    }

    pub(super) fn encode(&self) -> Bytes {
        rmp_serde::to_vec(self)
            .expect("texts and numbers are always representable in MessagePack")
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok()
    }
}

fn sequences(room: &OrdMap<SessionName, Kept>) -> impl Iterator<Item = Sequence> {
    room.values().map(|kept| kept.sequence)
}

fn session_name(session_id: &str) -> SessionName {
    let digest = chain::digest(session_id.as_bytes());
    let half = |from: usize| {
        let bytes = digest[from..from + 8].try_into();
        u64::from_be_bytes(bytes.expect("a SHA-256 digest has 32 bytes"))
    };
    (half(0), half(8))
}

fn text(json: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(json).into()
}

//! What the backups make of a command.

use std::collections::BTreeMap;

use playhouse_schema::record::{
    backup::{AuthDataSet, BackupRecord, SessionStored, SessionsDeleted, VersionCreated},
    codec::Record as _,
};
use serde_bytes::ByteBuf;

use super::{
    message::{BackupCommand, BackupError, BackupReply, NewSession, Selection},
    state::{Backup, is_better},
};
use crate::{env::JsonObject, kernel::Decision};

/// Versions that are kept side by side. Clients delete the one that they replace; some forget to.
const VERSIONS_MAX: usize = 100;

/// Sessions in all versions of a user: the heaviest users have some hundred thousand, and each costs memory while the backup is awake.
const SESSIONS_MAX: u64 = 500_000;

/// Sessions in one upload: clients send 100 or 200. Each is a record of one transaction.
const SESSIONS_PER_UPLOAD_MAX: usize = 2_000;

/// One session's data; usual ones have half a kilobyte.
const SESSION_BYTES_MAX: usize = 16 * 1024;

/// One version's `auth_data`; it grows by a signature for each device.
const AUTH_DATA_BYTES_MAX: usize = 64 * 1024;

/// Room IDs, session IDs and names of algorithms.
const NAME_BYTES_MAX: usize = 255;

/// So many payloads are erased in one transaction: others' commits wait for it.
const SWEEP_MAX: usize = 200;

pub(super) fn decide(
    backup: &Backup,
    command: BackupCommand,
) -> Result<Decision<Backup>, BackupError> {
    match command {
        BackupCommand::CreateVersion {
            algorithm,
            auth_data,
        } => create(backup, algorithm, auth_data),
        BackupCommand::SetAuthData {
            version,
            algorithm,
            auth_data,
        } => set_auth_data(backup, (&version, &algorithm), auth_data),
        BackupCommand::DeleteVersion(version) => {
            let (number, _) = backup.version(&version)?;
            let records = vec![BackupRecord::VersionDeleted(number)];
            Ok(Decision::new(records, BackupReply::Done))
        }
        BackupCommand::StoreSessions { version, sessions } => store(backup, &version, sessions),
        BackupCommand::DeleteSessions(selection) => delete(backup, selection),
        BackupCommand::DeleteAll => {
            let versions = backup.versions.keys();
            let records = versions.map(|number| BackupRecord::VersionDeleted(*number));
            Ok(Decision::new(records.collect(), BackupReply::Done))
        }
        BackupCommand::Sweep => Ok(sweep(backup)),
    }
}

fn create(
    backup: &Backup,
    algorithm: String,
    auth_data: String,
) -> Result<Decision<Backup>, BackupError> {
    if backup.versions.len() >= VERSIONS_MAX {
        return Err(BackupError::TooLarge("too many backup versions".to_owned()));
    }
    checked_name("algorithm", &algorithm)?;
    let version = backup.newest + 1;
    let created = VersionCreated {
        version,
        algorithm,
        auth_data: object("auth_data", auth_data, AUTH_DATA_BYTES_MAX)?,
    };
    let records = vec![BackupRecord::VersionCreated(created)];
    let reply = BackupReply::Version(version.to_string());
    Ok(Decision::new(records, reply))
}

fn set_auth_data(
    backup: &Backup,
    (version, algorithm): (&str, &str),
    auth_data: String,
) -> Result<Decision<Backup>, BackupError> {
    let (number, version) = backup.version(version)?;
    if *version.algorithm != *algorithm {
        return Err(BackupError::InvalidParam(
            "algorithm does not match".to_owned(),
        ));
    }
    if version.auth_data_is(&auth_data) {
        return Ok(Decision::unchanged(BackupReply::Done));
    }
    let set = AuthDataSet {
        version: number,
        auth_data: object("auth_data", auth_data, AUTH_DATA_BYTES_MAX)?,
    };
    let records = vec![BackupRecord::AuthDataSet(set)];
    Ok(Decision::new(records, BackupReply::Done))
}

fn store(
    backup: &Backup,
    name: &str,
    sessions: Vec<NewSession>,
) -> Result<Decision<Backup>, BackupError> {
    let (number, version) = backup.version(name)?;
    if let Some((current, _)) = backup.current()
        && current != number
    {
        return Err(BackupError::WrongVersion {
            current: current.to_string(),
        });
    }
    if sessions.len() > SESSIONS_PER_UPLOAD_MAX {
        return Err(BackupError::TooLarge(
            "too many sessions in one request".to_owned(),
        ));
    }
    let mut better = BTreeMap::<(String, String), SessionStored>::new();
    for session in sessions {
        checked_name("room ID", &session.room_id)?;
        checked_name("session ID", &session.session_id)?;
        if !version.wants(&session.room_id, &session.session_id, session.quality) {
            continue;
        }
        let key = (session.room_id.clone(), session.session_id.clone());
        if let Some(other) = better.get(&key)
            && !is_better(session.quality, other.quality)
        {
            continue;
        }
        let stored = SessionStored {
            version: number,
            data: object("session_data", session.data, SESSION_BYTES_MAX)?,
            room_id: session.room_id,
            session_id: session.session_id,
            quality: session.quality,
            etag: version.etag + 1,
        };
        better.insert(key, stored);
    }
    let new = better
        .keys()
        .filter(|(room_id, session_id)| !version.has(room_id, session_id));
    if backup.sessions() + new.count() as u64 > SESSIONS_MAX {
        return Err(BackupError::TooLarge("the backup is full".to_owned()));
    }
    let records = better.into_values().map(BackupRecord::SessionStored);
    Ok(with_extent(backup, number, records.collect()))
}

fn delete(backup: &Backup, selection: Selection) -> Result<Decision<Backup>, BackupError> {
    let (number, version) = backup.version(&selection.version)?;
    let holds = version.holds(
        selection.room_id.as_deref(),
        selection.session_id.as_deref(),
    );
    let records = if holds {
        vec![BackupRecord::SessionsDeleted(SessionsDeleted {
            version: number,
            room_id: selection.room_id,
            session_id: selection.session_id,
            etag: version.etag + 1,
        })]
    } else {
        Vec::new()
    };
    Ok(with_extent(backup, number, records))
}

/// Answers with what the version will hold: the records applied to a copy, which shares all but what they change.
fn with_extent(backup: &Backup, number: u64, records: Vec<BackupRecord>) -> Decision<Backup> {
    let mut after = backup.clone();
    for record in &records {
        after.take_in(0, record);
    }
    let extent = after.versions[&number].extent();
    Decision::new(records, BackupReply::Extent(extent))
}

fn sweep(backup: &Backup) -> Decision<Backup> {
    let swept = backup.garbage(SWEEP_MAX);
    if swept.is_empty() {
        return Decision::unchanged(BackupReply::Done);
    }
    let nothing = BackupRecord::SessionErased.encode();
    let mut decision = Decision::new(vec![BackupRecord::Swept(swept.clone())], BackupReply::Done);
    decision.erasures = swept
        .into_iter()
        .map(|sequence| (sequence, nothing.clone()))
        .collect();
    decision
}

fn checked_name(what: &str, name: &str) -> Result<(), BackupError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(BackupError::InvalidParam(format!(
            "{what} must have 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

/// A JSON object as it came, if it is one and not too large.
fn object(what: &str, json: String, bytes_max: usize) -> Result<ByteBuf, BackupError> {
    if json.len() > bytes_max {
        return Err(BackupError::TooLarge(format!("{what} is too large")));
    }
    serde_json::from_str::<JsonObject>(&json)
        .map_err(|error| BackupError::BadJson(format!("{what}: {error}")))?;
    Ok(ByteBuf::from(json.into_bytes()))
}

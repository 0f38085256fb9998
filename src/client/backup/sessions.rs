//! Sessions as clients send and read them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use indexmap::IndexMap;
use playhouse_actors::{
    backup::{
        BackupCommand,
        message::{NewSession, Selection, SessionQuality},
    },
    house::StoredSessions,
};
use playhouse_schema::record::backup::SessionStored;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{extent, text};
use crate::edge::{App, Failure, Prepared, RawJson, Session};

/// A session in a request.
#[derive(Deserialize)]
pub(super) struct SentSession {
    first_message_index: u64,
    forwarded_count: u64,
    is_verified: bool,
    session_data: Box<RawValue>,
}

/// The sessions of a room in a request, by ID.
#[derive(Deserialize)]
pub(super) struct SentRoom {
    pub(super) sessions: IndexMap<String, SentSession>,
}

impl SentRoom {
    /// The sessions as the backup takes them.
    pub(super) fn into_new(self, room_id: &str) -> impl Iterator<Item = NewSession> {
        self.sessions
            .into_iter()
            .map(move |(session_id, session)| session.into_new(room_id, session_id))
    }
}

impl SentSession {
    /// The session as the backup takes it.
    pub(super) fn into_new(self, room_id: &str, session_id: String) -> NewSession {
        NewSession {
            room_id: room_id.to_owned(),
            session_id,
            quality: SessionQuality {
                first_message_index: self.first_message_index,
                forwarded_count: self.forwarded_count,
                is_verified: self.is_verified,
            },
            data: text(&self.session_data),
        }
    }
}

/// Stores sessions and tells what the version holds.
pub(super) async fn store(
    app: &App,
    caller: &Session,
    version: String,
    sessions: Vec<NewSession>,
) -> Result<RawJson, Failure> {
    let command = BackupCommand::StoreSessions { version, sessions };
    extent(app.house.backup_command(&caller.user_id, command).await?)
}

/// Deletes sessions and tells what the version holds.
pub(super) async fn delete(
    app: &App,
    caller: &Session,
    selection: Selection,
) -> Result<RawJson, Failure> {
    let command = BackupCommand::DeleteSessions(selection);
    extent(app.house.backup_command(&caller.user_id, command).await?)
}

/// Answers one session.
pub(super) async fn one(
    app: &App,
    caller: &Session,
    selection: Selection,
) -> Result<RawJson, Failure> {
    let mut found = app
        .house
        .backup_sessions(&caller.user_id, selection)
        .await?;
    let session = found.next().await?.and_then(|mut page| page.pop());
    // It may have been replaced between the two questions: asked again, the client gets the better one.
    let session = session.ok_or_else(|| Failure::not_found("unknown session"))?;
    let mut json = Vec::new();
    write_session(&mut json, &session);
    Ok(RawJson(Bytes::from(json)))
}

/// Answers the sessions of a room, or of all, written as they are read.
pub(super) async fn all(
    app: Arc<App>,
    caller: Session,
    selection: Selection,
) -> Result<Prepared, Failure> {
    let writer = Writer {
        by_room: selection.room_id.is_none(),
        room_id: None,
        is_begun: false,
    };
    let found = app
        .house
        .backup_sessions(&caller.user_id, selection)
        .await?;
    let begin = Some((found, writer));
    Ok(Prepared::json_stream(stream::try_unfold(begin, piece)))
}

type Reading = Option<(StoredSessions, Writer)>;

async fn piece(reading: Reading) -> Result<Option<(Bytes, Reading)>, std::io::Error> {
    let Some((mut found, mut writer)) = reading else {
        return Ok(None);
    };
    let page = found.next().await.map_err(|error| {
        tracing::warn!(%error, "reading a key backup was cut off");
        std::io::Error::other(error.to_string())
    })?;
    match page {
        Some(page) => Ok(Some((writer.write(&page), Some((found, writer))))),
        None => Ok(Some((writer.finish(), None))),
    }
}

/// Writes sessions as one JSON object, page by page.
struct Writer {
    by_room: bool,
    room_id: Option<String>,
    is_begun: bool,
}

impl Writer {
    fn begin(&mut self, json: &mut Vec<u8>) {
        if !self.is_begun {
            self.is_begun = true;
            let head: &[u8] = if self.by_room {
                b"{\"rooms\":{"
            } else {
                b"{\"sessions\":{"
            };
            json.extend_from_slice(head);
        }
    }

    fn write(&mut self, page: &[SessionStored]) -> Bytes {
        let bytes = page.iter().map(|session| session.data.len() + 160).sum();
        let mut json = Vec::with_capacity(bytes);
        self.begin(&mut json);
        for session in page {
            if self.room_id.as_ref() == Some(&session.room_id) {
                json.push(b',');
            } else {
                self.enter(&mut json, &session.room_id);
            }
            write_text(&mut json, &session.session_id);
            json.push(b':');
            write_session(&mut json, session);
        }
        Bytes::from(json)
    }

    /// The sessions of another room follow.
    fn enter(&mut self, json: &mut Vec<u8>, room_id: &str) {
        let former = self.room_id.replace(room_id.to_owned());
        if !self.by_room {
            return;
        }
        if former.is_some() {
            json.extend_from_slice(b"}},");
        }
        write_text(json, room_id);
        json.extend_from_slice(b":{\"sessions\":{");
    }

    fn finish(&mut self) -> Bytes {
        let mut json = Vec::new();
        self.begin(&mut json);
        if self.by_room && self.room_id.is_some() {
            json.extend_from_slice(b"}}");
        }
        json.extend_from_slice(b"}}");
        Bytes::from(json)
    }
}

fn write_session(json: &mut Vec<u8>, session: &SessionStored) {
    let quality = session.quality;
    let head = format!(
        "{{\"first_message_index\":{},\"forwarded_count\":{},\"is_verified\":{},\"session_data\":",
        quality.first_message_index, quality.forwarded_count, quality.is_verified
    );
    json.extend_from_slice(head.as_bytes());
    json.extend_from_slice(&session.data);
    json.push(b'}');
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    json.extend_from_slice(Value::from(text).to_string().as_bytes());
}

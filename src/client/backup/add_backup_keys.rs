//! `PUT /_matrix/client/*/room_keys/keys`

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;

use super::{
    sessions::{self, SentRoom},
    version,
};
use crate::edge::{App, Arguments, Failure, RawJson, Session};

#[derive(Deserialize)]
struct Body {
    rooms: IndexMap<String, SentRoom>,
}

/// Stores sessions of several rooms in the current version.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = serde_json::from_slice(&arguments.body)?;
    let mut new = Vec::new();
    for (room_id, room) in body.rooms {
        new.extend(room.into_new(&room_id));
    }
    sessions::store(&app, &caller, version(&arguments)?, new).await
}

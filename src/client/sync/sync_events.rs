//! `GET /_matrix/client/*/sync`

use std::sync::Arc;

use playhouse_actors::user::message::SyncQuery;
use ruma::presence::PresenceState;

use crate::{
    client::query::parameter,
    edge::{Admission, App, Arguments, Failure, RawJson, Session},
};

/// A long poll ends after this time at the latest.
const TIMEOUT_MS_MAX: u64 = 10 * 60 * 1000;

/// Tells what has happened since the last time, and waits for it if nothing has.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let query = arguments.query.as_deref();
    let device_id = caller.device()?.to_owned();
    let sync = SyncQuery {
        device_id,
        since: parameter(query, "since").filter(|token| !token.is_empty()),
        filter: parameter(query, "filter").filter(|filter| !filter.is_empty()),
        full_state: flag(query, "full_state")?,
        set_presence: set_presence(query)?,
        timeout_ms: timeout_ms(query)?,
        state_after: flag(query, "use_state_after")?
            || flag(query, "org.matrix.msc4222.use_state_after")?,
    };
    let is_costly = sync.since.is_none() || sync.full_state;
    greet(&app, &caller).await;
    let _place = place(&app, &caller, is_costly).await?;
    Ok(RawJson(app.house.sync(&caller.user_id, sync).await?))
}

/// Who was told that the server is closed finds that it is not any more.
pub(super) async fn greet(app: &App, caller: &Session) {
    if !app.config.blocking.closed {
        app.house.tell_limit(&caller.user_id, None).await;
    }
}

/// Syncs from the beginning are built a few at a time.
pub(super) async fn place<'a>(
    app: &'a App,
    caller: &Session,
    is_costly: bool,
) -> Result<Option<Admission<'a>>, Failure> {
    if !is_costly {
        return Ok(None);
    }
    app.initial_syncs.enter(&caller.user_id).await.map(Some)
}

fn flag(query: Option<&str>, name: &str) -> Result<bool, Failure> {
    match parameter(query, name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::invalid_param(format!("{name} is true or false"))),
    }
}

pub(super) fn timeout_ms(query: Option<&str>) -> Result<u64, Failure> {
    match parameter(query, "timeout") {
        None => Ok(0),
        Some(text) => text
            .parse::<u64>()
            .map(|timeout_ms| timeout_ms.min(TIMEOUT_MS_MAX))
            .map_err(|_| Failure::invalid_param("timeout is a number of milliseconds")),
    }
}

pub(super) fn set_presence(query: Option<&str>) -> Result<Option<PresenceState>, Failure> {
    match parameter(query, "set_presence").as_deref() {
        None | Some("online") => Ok(Some(PresenceState::Online)),
        Some("unavailable") => Ok(Some(PresenceState::Unavailable)),
        Some("offline") => Ok(None),
        Some(_) => Err(Failure::invalid_param(
            "set_presence is online, unavailable or offline",
        )),
    }
}

//! Other servers as destinations, as administrators see them.

mod get_destination;
mod list_destinations;
mod list_rooms_of_destination;
mod reset_connection;

use playhouse_schema::models::destinations::Destination;
use ruma::ServerName;
use serde::Serialize;

use crate::edge::{App, Failure, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_destinations::handle);
    routes.mount(get_destination::handle);
    routes.mount(list_rooms_of_destination::handle);
    routes.mount(reset_connection::handle);
}

/// How sending to another server stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    destination: String,
    /// The last attempt that failed, milliseconds since the Unix epoch; 0 when nothing hinders.
    retry_last_ts: u64,
    /// From there to the next attempt, milliseconds.
    retry_interval: u64,
    /// The first attempt that failed since the last success.
    failure_ts: Option<u64>,
    /// This server has no one order of all events.
    last_successful_stream_ordering: Option<u64>,
    /// The last success, as far as it was recorded.
    last_successful_ts: Option<u64>,
}

impl From<Destination> for Shown {
    fn from(found: Destination) -> Self {
        let unless_zero = |ms: u64| (ms > 0).then_some(ms);
        Self {
            destination: found.server_name,
            retry_last_ts: found.failed_ms,
            retry_interval: found.next_ms.saturating_sub(found.failed_ms),
            failure_ts: unless_zero(found.failing_since_ms),
            last_successful_stream_ordering: None,
            last_successful_ts: unless_zero(found.acknowledged_ms),
        }
    }
}

/// A server to which something was ever sent: 404 when there is none of that name.
async fn known(app: &App, name: &ServerName) -> Result<Destination, Failure> {
    let found = app.house.known_destination(name.as_str()).await?;
    found.ok_or_else(|| Failure::not_found("nothing was ever sent to this server"))
}

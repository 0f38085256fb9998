//! Joins of this server's users through other servers, while they are under way.

mod cancel_join;
mod list_joins;

use playhouse_actors::{admins::AdminRole, joins::Join};
use serde::Serialize;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_joins::handle);
    routes.mount(cancel_join::handle).role(AdminRole::Operate);
}

/// How far a join is.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// A server is looked for that makes the join.
    Asking,
    /// The join was sent to a server, and the answer is not taken in yet.
    Sent,
    /// A large answer is being taken in.
    Arriving,
    /// Nothing is to come of it: whoever may have let the user in is told that the user leaves.
    Leaving,
}

/// A join that is under way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    room_id: String,
    user_id: String,
    stage: Stage,
    /// To whom the join was sent last.
    server: Option<String>,
    /// When it was begun, milliseconds since the Unix epoch.
    since_ts: u64,
    /// So many events of the answer are taken in.
    events: Option<u64>,
    /// Of so many.
    events_total: Option<u64>,
    /// The administrator who cancelled it.
    cancelled_by: Option<String>,
}

impl From<Join> for Shown {
    fn from(join: Join) -> Self {
        let stage = if join.abandoned.is_some() {
            Stage::Leaving
        } else if join.progress.is_some() {
            Stage::Arriving
        } else if join.sent.is_empty() {
            Stage::Asking
        } else {
            Stage::Sent
        };
        Self {
            stage,
            server: join.sent.last().map(|sent| sent.server.clone()),
            since_ts: join.begun.at_ms,
            events: join.progress.map(|(events, _)| events),
            events_total: join.progress.map(|(_, of)| of),
            cancelled_by: join.abandoned.and_then(|abandoned| abandoned.by),
            room_id: join.begun.room_id,
            user_id: join.begun.user_id,
        }
    }
}

//! Rooms as administrators see, enter, keep out and delete them.

mod block_room;
mod delete_room;
mod delete_status;
mod forward_extremities;
mod get_context;
mod get_event_by_timestamp;
mod get_hierarchy;
mod get_members;
mod get_messages;
mod get_room;
mod get_state;
mod join_room;
mod list_rooms;
mod make_room_admin;

use playhouse_actors::purges::{DeletionStanding, DeletionState};
use playhouse_schema::{models::rooms::Listed, record::purge::PurgeProgress};
use serde::Serialize;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(block_room::handle);
    routes.mount(block_room::look::handle);
    routes.mount(delete_room::handle);
    routes.mount(delete_room::at_once::handle);
    routes.mount(delete_status::handle);
    routes.mount(delete_status::of_room::handle);
    routes.mount(list_rooms::handle);
    routes.mount(get_room::handle);
    routes.mount(get_members::handle);
    routes.mount_raw(get_state::handle);
    routes.mount_raw(get_messages::handle);
    routes.mount_raw(get_context::handle);
    routes.mount(get_event_by_timestamp::handle);
    routes.mount(get_hierarchy::handle);
    routes.mount(join_room::handle);
    routes.mount(make_room_admin::handle);
    routes.mount(forward_extremities::handle);
    routes.mount(forward_extremities::join::handle);
}

/// A room as lists tell it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Described {
    room_id: String,
    name: Option<String>,
    canonical_alias: Option<String>,
    joined_members: u64,
    joined_local_members: u64,
    version: String,
    creator: String,
    encryption: Option<String>,
    federatable: bool,
    public: bool,
    join_rules: Option<String>,
    guest_access: Option<String>,
    history_visibility: Option<String>,
    state_events: u64,
    room_type: Option<String>,
}

impl From<Listed> for Described {
    fn from(room: Listed) -> Self {
        Self {
            room_id: room.room_id,
            name: room.name,
            canonical_alias: room.alias,
            joined_members: room.joined,
            joined_local_members: room.joined_local,
            version: room.version,
            creator: room.creator,
            encryption: room.encryption,
            federatable: room.federatable,
            public: room.public,
            join_rules: room.join_rules,
            guest_access: room.guest_access,
            history_visibility: room.history_visibility,
            state_events: room.state_events,
            room_type: room.room_type,
        }
    }
}

/// What became of a room's members and names.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShutDown {
    /// Users that were made to leave.
    pub(crate) kicked_users: Vec<String>,
    /// Users of whom that failed.
    pub(crate) failed_to_kick_users: Vec<String>,
    /// Aliases that name the new room now.
    pub(crate) local_aliases: Vec<String>,
    /// The room that was made for the members.
    pub(crate) new_room_id: Option<String>,
}

impl ShutDown {
    fn of(standing: DeletionStanding) -> Self {
        Self {
            kicked_users: standing.done.kicked,
            failed_to_kick_users: standing.done.failed,
            local_aliases: standing.done.aliases,
            new_room_id: standing.done.new_room_id,
        }
    }
}

/// How far the records of a room were gone through. Synapse tells nothing like it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Progress {
    /// So many are done …
    records_done: u64,
    /// … of so many.
    records: u64,
    /// The contents of so many are gone.
    erased: u64,
}

impl From<PurgeProgress> for Progress {
    fn from(progress: PurgeProgress) -> Self {
        Self {
            records_done: progress.up_to.min(progress.of),
            records: progress.of,
            erased: progress.erased,
        }
    }
}

/// How a deletion stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// Its name.
    pub(crate) delete_id: String,
    /// The room.
    pub(crate) room_id: String,
    /// `scheduled`, `active`, `complete` or `failed`.
    pub(crate) status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What it has done.
    pub(crate) shutdown_room: ShutDown,
    /// How far what is taken out of the log has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Progress>,
}

impl Shown {
    fn of(standing: DeletionStanding, now_ms: u64) -> Self {
        let status = match standing.state(now_ms) {
            DeletionState::Scheduled => "scheduled",
            DeletionState::Active => "active",
            DeletionState::Complete => "complete",
            DeletionState::Failed => "failed",
        };
        let error = standing.ended.as_ref();
        Self {
            delete_id: standing.deletion.id.clone(),
            room_id: standing.deletion.room_id.clone(),
            status,
            error: error.and_then(|ended| ended.error.clone()),
            shutdown_room: ShutDown::of(standing),
            progress: None,
        }
    }
}

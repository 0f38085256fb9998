//! Backups that administrators have the running server make.

mod list_backups;
mod make_backup;

use playhouse_actors::admins::AdminRole;
use serde::Serialize;

use crate::{
    backups::{LastBackup, Manifest},
    edge::Routes,
};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_backups::handle).role(AdminRole::Operate);
    routes.mount(make_backup::handle).role(AdminRole::Operate);
}

/// A backup as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// The name of its folder.
    name: String,
    /// `active`, `complete` or `failed`.
    status: &'static str,
    /// Until when it is whole, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ts: Option<u64>,
    /// So many records.
    records: u64,
    /// So many are copied, while it is being made.
    #[serde(skip_serializing_if = "Option::is_none")]
    records_done: Option<u64>,
    /// Whether media are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<bool>,
    /// Why it was not made.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<(String, Manifest)> for Shown {
    fn from((name, manifest): (String, Manifest)) -> Self {
        Self {
            name,
            status: "complete",
            until_ts: Some(manifest.until_ms),
            records: manifest.records,
            records_done: None,
            media: Some(manifest.media),
            error: None,
        }
    }
}

impl From<LastBackup> for Shown {
    fn from(last: LastBackup) -> Self {
        Self {
            name: last.name,
            status: if last.is_over { "failed" } else { "active" },
            until_ts: None,
            records: last.all,
            records_done: Some(last.done),
            media: None,
            error: last.error,
        }
    }
}

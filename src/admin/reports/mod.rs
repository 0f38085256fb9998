//! What users reported to the administrators.

mod delete_event_report;
mod delete_user_report;
mod get_event_report;
mod get_user_report;
mod list_event_reports;
mod list_user_reports;

use playhouse_actors::house::RoomNames;
use playhouse_schema::models::reports::FiledReport;
use serde::Serialize;
use serde_json::Value;

use crate::edge::{App, Failure, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_event_reports::handle);
    routes.mount(get_event_report::handle);
    routes.mount(delete_event_report::handle);
    routes.mount(list_user_reports::handle);
    routes.mount(get_user_report::handle);
    routes.mount(delete_user_report::handle);
}

/// A report of an event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EventReport {
    id: u64,
    /// When it was made, milliseconds since the Unix epoch.
    received_ts: u64,
    room_id: Option<String>,
    name: Option<String>,
    canonical_alias: Option<String>,
    event_id: Option<String>,
    /// Who reported.
    user_id: String,
    reason: Option<String>,
    /// Clients do not send it any more.
    score: Option<i64>,
    /// Who sent the event, where that was noted.
    sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_json: Option<Value>,
}

impl EventReport {
    fn of(filed: FiledReport, (name, canonical_alias): RoomNames) -> Self {
        Self {
            id: filed.id(),
            received_ts: filed.report.at_ms,
            room_id: filed.report.room_id,
            name,
            canonical_alias,
            event_id: filed.report.event_id,
            user_id: filed.report.reporter,
            reason: filed.report.reason,
            score: None,
            sender: filed.report.sender,
            event_json: None,
        }
    }
}

/// A report of a user.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UserReport {
    id: u64,
    /// When it was made, milliseconds since the Unix epoch.
    received_ts: u64,
    /// Who was reported.
    target_user_id: Option<String>,
    /// Who reported.
    user_id: String,
    reason: Option<String>,
}

impl From<FiledReport> for UserReport {
    fn from(filed: FiledReport) -> Self {
        Self {
            id: filed.id(),
            received_ts: filed.report.at_ms,
            target_user_id: filed.report.user_id,
            user_id: filed.report.reporter,
            reason: filed.report.reason,
        }
    }
}

/// Reports of events with what their rooms are called.
async fn with_names(app: &App, filed: Vec<FiledReport>) -> Result<Vec<EventReport>, Failure> {
    let room_ids = filed.iter().filter_map(|one| one.report.room_id.clone());
    let names = app.house.room_names(room_ids.collect()).await?;
    let reports = filed.into_iter().map(|one| {
        let room_id = one.report.room_id.as_ref();
        let of_room = room_id.and_then(|room_id| names.get(room_id));
        let of_room = of_room.cloned().unwrap_or_default();
        EventReport::of(one, of_room)
    });
    Ok(reports.collect())
}

/// Of what a report is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Event,
    User,
}

/// The report of a number: 404 when there is none of this kind.
async fn known(app: &App, report_id: &str, kind: Kind) -> Result<FiledReport, Failure> {
    let id = report_id
        .parse::<u64>()
        .map_err(|_| Failure::invalid_param("report_id is not a number"))?;
    let found = app.house.report(id).await?.filter(|filed| {
        let of_event = filed.report.event_id.is_some();
        match kind {
            Kind::Event => of_event,
            Kind::User => !of_event && filed.report.user_id.is_some(),
        }
    });
    found.ok_or_else(|| Failure::not_found("there is no such report"))
}

//! `GET /_synapse/admin/v1/event_reports/{report_id}`

use std::sync::Arc;

use playhouse_actors::{house::HouseError, room::RoomError};
use ruma::{
    EventId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde_json::Value;

use super::{EventReport, Kind, known, with_names};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/event_reports/{report_id}",
}

/// Names a report of an event.
#[request]
pub(crate) struct Request {
    /// Its number.
    #[ruma_api(path)]
    pub(crate) report_id: String,
}

/// The report.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) report: EventReport,
}

/// Shows a report of an event, with the event.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let filed = known(&app, &request.report_id, Kind::Event).await?;
    let event_id = filed.report.event_id.clone().unwrap_or_default();
    let report = with_names(&app, vec![filed]).await?.pop();
    let mut report = report.ok_or_else(|| Failure::internal("a report is lost"))?;
    report.event_json = Some(event(&app, &event_id).await?);
    Ok(Response { report })
}

/// The event as servers exchange it; null when it is not here any more.
async fn event(app: &App, event_id: &str) -> Result<Value, Failure> {
    let Ok(event_id) = EventId::parse(event_id) else {
        return Ok(Value::Null);
    };
    match app.house.event_as_sent(&event_id).await {
        Ok(event) => serde_json::from_slice(&event).map_err(Failure::internal),
        Err(HouseError::Room(RoomError::NotFound)) => Ok(Value::Null),
        Err(error) => Err(error.into()),
    }
}

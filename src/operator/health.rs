//! `GET /health`

use std::{sync::Arc, time::Duration};

use playhouse_schema::register::Standing;
use ruma::api::error::ErrorCode;

use crate::edge::{App, Failure, Prepared, Visitor};

/// So long is waited for the database: who asks takes a node that is late for one that is sick.
const COUNTED_WITHIN: Duration = Duration::from_millis(250);

/// Answers `OK` as long as requests are served, and says how many records wait for an admin. 503 says that another node should be asked.
pub(crate) async fn handle(app: Arc<App>, _visitor: Visitor) -> Result<Prepared, Failure> {
    if let Some(ward) = app.house.ward() {
        let why = match ward.standing() {
            Standing::Draining => Some("this node gives its work away"),
            Standing::Serving => {
                let has_lease = app.house.map().is_some_and(|map| map.is_valid());
                (!has_lease).then_some("this node has lost its lease")
            }
        };
        if let Some(why) = why {
            return Err(Failure::new(ErrorCode::Unknown, why).with_status(503));
        }
    }
    // That the count cannot be had does not make this node sick: others may share its trouble.
    let parked = app.house.models().parked_count();
    let parked = tokio::time::timeout(COUNTED_WITHIN, parked).await;
    let text = match parked.ok().and_then(Result::ok).unwrap_or(0) {
        0 => "OK\n".to_owned(),
        parked => format!("OK\n{parked} records are parked: see `playhouse log parked`\n"),
    };
    Ok(Prepared::text(text))
}

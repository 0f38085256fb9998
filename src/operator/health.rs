//! `GET /health`

use std::sync::Arc;

use crate::edge::{App, Failure, Prepared, Visitor};

/// Answers `OK` as long as requests are served, and says how many records wait for an admin.
pub(crate) async fn handle(app: Arc<App>, _visitor: Visitor) -> Result<Prepared, Failure> {
    // That the count cannot be had does not make this node sick: others may share its trouble.
    let text = match app.house.models().parked_count().await.unwrap_or(0) {
        0 => "OK\n".to_owned(),
        parked => format!("OK\n{parked} records are parked: see `playhouse log parked`\n"),
    };
    Ok(Prepared::text(text))
}

//! `GET /health`

use std::sync::Arc;

use crate::edge::{App, Failure, Prepared, Visitor};

/// Answers `OK` as long as requests are served.
pub(crate) async fn handle(_app: Arc<App>, _visitor: Visitor) -> Result<Prepared, Failure> {
    Ok(Prepared::text("OK\n"))
}

//! `GET /metrics`

use std::sync::Arc;

use crate::edge::{App, Failure, Prepared, Visitor};

/// Figures for Prometheus. Without a listener of their own they are told to callers on this machine only.
pub(crate) async fn handle(app: Arc<App>, visitor: Visitor) -> Result<Prepared, Failure> {
    if app.config.listen.metrics.is_none() && !visitor.address.is_loopback() {
        return Err(Failure::forbidden("metrics are not for you"));
    }
    Ok(Prepared::text((app.metrics)()))
}

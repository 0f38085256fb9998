//! `GET /.well-known/matrix/support`

use std::sync::Arc;

use actix_web::http::header::HeaderValue;

use crate::edge::{App, Failure, Prepared, Visitor};

/// Answers the configured file.
pub(crate) async fn handle(app: Arc<App>, _visitor: Visitor) -> Result<Prepared, Failure> {
    let Some(path) = &app.config.server.support_file else {
        return Err(Failure::not_found("no contacts are configured"));
    };
    let text = tokio::fs::read(path)
        .await
        .map_err(|error| Failure::internal(format!("{path}: {error}")))?;
    Ok(Prepared::bytes(
        HeaderValue::from_static("application/json"),
        text,
    ))
}

//! Clients register themselves (RFC 7591).

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use serde_json::{Map, Value};

use super::{
    answer::{Refusal, answer},
    client::Client,
    offered,
};
use crate::edge::{App, Failure, Prepared, Visit};

/// Registers a client by what it says of itself; the same words get the same client.
pub(super) async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    offered(&app, visit.header(header::HOST))?;
    Ok(match register(&app, &visit).await {
        Ok(body) => answer(&body).with_status(StatusCode::CREATED),
        Err(refusal) => refusal.answer(),
    })
}

async fn register(app: &Arc<App>, visit: &Visit) -> Result<Value, Refusal> {
    let said: Map<String, Value> = serde_json::from_slice(&visit.body)
        .map_err(|error| Refusal::new("invalid_client_metadata", error.to_string()))?;
    let client = Client::read(&said)?;
    let kept = serde_json::to_value(&client)
        .map_err(|error| Refusal::new("server_error", error.to_string()))?;
    let client_id = app.house.register_client(kept.to_string()).await?;
    let mut body = kept;
    body["client_id"] = client_id.into();
    body["client_id_issued_at"] = (app.env().now_ms() / 1000).into();
    Ok(body)
}

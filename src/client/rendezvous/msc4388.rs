//! `/_matrix/client/unstable/io.element.msc4388/rendezvous`: JSON with sequence tokens.

use std::sync::Arc;

use ruma::api::error::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{may_begin, sessions::Unsaid};
use crate::edge::{App, Failure, Prepared, RawJson, Visit};

/// Where it answers.
pub(super) const PATH: &str = "/_matrix/client/unstable/io.element.msc4388/rendezvous";

/// So long may be what is said.
const DATA_BYTES_MAX: usize = 4 * 1024;

#[derive(Deserialize)]
struct Begin {
    data: String,
}

#[derive(Deserialize)]
struct Say {
    sequence_token: String,
    data: String,
}

/// Tells whether the caller may begin a meeting.
pub(super) async fn discover(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let create_available = match may_begin(&app, &visit).await {
        Ok(()) => true,
        Err(failure) if failure.status() == 404 => return Err(failure),
        Err(_) => false,
    };
    Ok(answer(&json!({ "create_available": create_available })))
}

/// Begins a meeting.
pub(super) async fn begin(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    may_begin(&app, &visit).await?;
    let Begin { data } = serde_json::from_slice(&visit.body)?;
    must_be_short(&data)?;
    let now_ms = app.env().now_ms();
    let (id, meeting) = app.meetings.begin(data).await?;
    Ok(answer(&json!({
        "id": id,
        "sequence_token": meeting.token,
        "expires_in_ms": meeting.until_ms.saturating_sub(now_ms),
    })))
}

/// Tells what was said last.
pub(super) async fn read(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let now_ms = app.env().now_ms();
    let meeting = app
        .meetings
        .get(visit.variable(0))
        .await?
        .ok_or_else(gone)?;
    Ok(answer(&json!({
        "data": meeting.data,
        "sequence_token": meeting.token,
        "expires_in_ms": meeting.until_ms.saturating_sub(now_ms),
    })))
}

/// Says something, if nobody else has in the meantime.
pub(super) async fn say(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let Say {
        sequence_token,
        data,
    } = serde_json::from_slice(&visit.body)?;
    must_be_short(&data)?;
    let said = (sequence_token.as_str(), data);
    match app.meetings.say(visit.variable(0), said).await {
        Ok(meeting) => Ok(answer(&json!({ "sequence_token": meeting.token }))),
        Err(Unsaid::Gone) => Err(gone()),
        Err(Unsaid::Failed(error)) => Err((*error).into()),
        Err(Unsaid::Overtaken) => Err(Failure::new(
            ErrorCode::from("IO_ELEMENT_MSC4388_CONCURRENT_WRITE"),
            "somebody else has written in the meantime",
        )
        .with_status(409)),
    }
}

/// Ends a meeting.
pub(super) async fn end(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    if !app.meetings.end(visit.variable(0)).await? {
        return Err(gone());
    }
    Ok(answer(&json!({})))
}

fn must_be_short(data: &str) -> Result<(), Failure> {
    if data.len() > DATA_BYTES_MAX {
        return Err(Failure::new(ErrorCode::TooLarge, "data is too long"));
    }
    Ok(())
}

fn gone() -> Failure {
    Failure::not_found("unknown or ended rendezvous session")
}

fn answer(body: &Value) -> Prepared {
    RawJson(body.to_string().into()).into()
}

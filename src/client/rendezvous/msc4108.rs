//! `/_matrix/client/unstable/org.matrix.msc4108/rendezvous`: plain text under an address, with entity tags.

use std::sync::Arc;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use ruma::api::error::ErrorCode;
use serde_json::json;

use super::{
    may_begin,
    sessions::{Meeting, Unsaid, http_date},
};
use crate::edge::{App, Failure, Prepared, RawJson, Visit, open::text_of};

/// Where it answers.
pub(super) const PATH: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";

/// Begins a meeting and tells its address.
pub(super) async fn begin(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    may_begin(&app, &visit).await?;
    let data = plain_text(&visit)?;
    let Some(base) = app.base_url(visit.header(header::HOST)) else {
        return Err(Failure::not_found("no client URL is configured"));
    };
    let (id, meeting) = app.meetings.begin(data).await?;
    let body = json!({ "url": format!("{base}{PATH}/{id}") });
    let answer = Prepared::from(RawJson(body.to_string().into()));
    Ok(dressed(answer, &meeting)?.with_status(StatusCode::CREATED))
}

/// Tells what was said last; 304 when the asker knows it.
pub(super) async fn read(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let meeting = app
        .meetings
        .get(visit.variable(0))
        .await?
        .ok_or_else(gone)?;
    let known = visit.header(header::IF_NONE_MATCH).unwrap_or_default();
    let is_known = known
        .split(',')
        .any(|tag| tag.trim() == quoted(&meeting.token));
    if is_known {
        let answer = Prepared::text("").with_status(StatusCode::NOT_MODIFIED);
        return dressed(answer, &meeting);
    }
    let text = HeaderValue::from_static("text/plain");
    dressed(Prepared::bytes(text, meeting.data.clone()), &meeting)
}

/// Says something, if nobody else has in the meantime.
pub(super) async fn say(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let data = plain_text(&visit)?;
    let Some(tag) = visit.header(header::IF_MATCH) else {
        return Err(Failure::missing_param("If-Match is missing"));
    };
    let token = tag.trim().trim_matches('"');
    let said = (token, data);
    match app.meetings.say(visit.variable(0), said).await {
        Ok(meeting) => {
            let answer = Prepared::text("").with_status(StatusCode::ACCEPTED);
            dressed(answer, &meeting)
        }
        Err(Unsaid::Gone) => Err(gone()),
        Err(Unsaid::Failed(error)) => Err((*error).into()),
        Err(Unsaid::Overtaken) => Err(Failure::new(
            ErrorCode::Unknown,
            "somebody else has written in the meantime",
        )
        .with("org.matrix.msc4108.errcode", "M_CONCURRENT_WRITE")
        .with_status(412)),
    }
}

/// Ends a meeting.
pub(super) async fn end(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    if !app.meetings.end(visit.variable(0)).await? {
        return Err(gone());
    }
    Ok(Prepared::text("").with_status(StatusCode::NO_CONTENT))
}

fn plain_text(visit: &Visit) -> Result<String, Failure> {
    if !visit.content_type().eq_ignore_ascii_case("text/plain") {
        return Err(Failure::invalid_param("Content-Type must be text/plain"));
    }
    text_of(&visit.body)
}

fn gone() -> Failure {
    Failure::not_found("unknown or ended rendezvous session")
}

fn quoted(token: &str) -> String {
    format!("\"{token}\"")
}

fn dressed(answer: Prepared, meeting: &Meeting) -> Result<Prepared, Failure> {
    let headers: [(HeaderName, String); 5] = [
        (header::ETAG, quoted(&meeting.token)),
        (header::EXPIRES, http_date(meeting.until_ms)),
        (header::LAST_MODIFIED, http_date(meeting.said_ms)),
        (header::CACHE_CONTROL, "no-store, no-transform".to_owned()),
        (header::PRAGMA, "no-cache".to_owned()),
    ];
    headers
        .into_iter()
        .try_fold(answer, |answer, (name, value)| {
            let value = HeaderValue::from_str(&value).map_err(Failure::internal)?;
            Ok(answer.with_header(name, value))
        })
}

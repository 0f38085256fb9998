//! Where two devices meet for a login by QR code, in the two forms that clients know (MSC4108 of 2024, MSC4388).

mod msc4108;
mod msc4388;
mod sessions;

use std::sync::Arc;

use actix_web::http::Method;
use ruma::api::error::ErrorCode;

pub(crate) use sessions::Meetings;

use crate::edge::{App, Failure, Routes, Visit};

/// What is said in a meeting has at most so many bytes.
const DATA_BYTES_MAX: u64 = 4 * 1024;

/// Data of that size in JSON, escaped at worst.
const JSON_BYTES_MAX: u64 = 32 * 1024;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    let whole = msc4108::PATH;
    let one = format!("{}/{{id}}", msc4108::PATH);
    routes
        .mount_open(Method::POST, whole, msc4108::begin)
        .body_bytes_max(DATA_BYTES_MAX);
    routes.mount_open(Method::GET, &one, msc4108::read);
    routes
        .mount_open(Method::PUT, &one, msc4108::say)
        .body_bytes_max(DATA_BYTES_MAX);
    routes.mount_open(Method::DELETE, &one, msc4108::end);
    let whole = msc4388::PATH;
    let one = format!("{}/{{id}}", msc4388::PATH);
    routes.mount_open(Method::GET, whole, msc4388::discover);
    routes
        .mount_open(Method::POST, whole, msc4388::begin)
        .body_bytes_max(JSON_BYTES_MAX);
    routes.mount_open(Method::GET, &one, msc4388::read);
    routes
        .mount_open(Method::PUT, &one, msc4388::say)
        .body_bytes_max(JSON_BYTES_MAX);
    routes.mount_open(Method::DELETE, &one, msc4388::end);
}

/// Refuses who may not begin a meeting.
async fn may_begin(app: &Arc<App>, visit: &Visit) -> Result<(), Failure> {
    match app.config.rendezvous.mode.as_str() {
        "off" => Err(Failure::new(
            ErrorCode::Unrecognized,
            "devices do not meet on this server",
        )),
        "authenticated" => match visit.session().await? {
            Some(session) if !session.guest => Ok(()),
            Some(_) => Err(Failure::forbidden("guests do not begin a meeting")),
            None => Err(Failure::new(
                ErrorCode::MissingToken,
                "access token is missing",
            )),
        },
        _ => Ok(()),
    }
}

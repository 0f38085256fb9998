//! `GET /`

use std::sync::Arc;

use actix_web::http::header::HeaderValue;

use crate::edge::{App, Failure, Prepared, Visitor};

/// Says what this is to people who open the server's address in a browser.
pub(crate) async fn handle(app: Arc<App>, _visitor: Visitor) -> Result<Prepared, Failure> {
    let name = &app.config.server.name;
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>\n\
         <p>This is the Matrix homeserver <b>{name}</b>, running Playhouse. \
         Open it with a Matrix client: there is nothing to see here.</p>\n</html>\n"
    );
    Ok(Prepared::bytes(
        HeaderValue::from_static("text/html; charset=utf-8"),
        page,
    ))
}

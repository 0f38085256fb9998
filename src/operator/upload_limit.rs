//! `GET /_synapse/client/media_upload_limit_exceeded`

use std::sync::Arc;

use actix_web::http::header::HeaderValue;

use crate::edge::{App, Failure, Prepared, Visitor};

/// Tells people whose upload was refused what the matter is; clients lead there.
pub(crate) async fn handle(_app: Arc<App>, _visitor: Visitor) -> Result<Prepared, Failure> {
    Ok(Prepared::bytes(
        HeaderValue::from_static("text/html; charset=utf-8"),
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Upload limit reached</title>\n\
         <h1>Upload limit reached</h1>\n\
         <p>You have uploaded as much as this server allows for the time being, or in all. \
         Try again later, or ask the people who run this server.</p>\n</html>\n",
    ))
}

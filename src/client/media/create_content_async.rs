//! `PUT /_matrix/media/*/upload/{serverName}/{mediaId}`

use std::sync::Arc;

use playhouse_actors::media::{MediaAnswer, MediaError, MediaQuery};
use ruma::api::{client::media::create_content_async::v3::Request, error::ErrorCode};

use super::create_content::{Described, store};
use crate::{
    client::empty,
    edge::{App, Failure, RawJson, Session, Upload},
};

/// Takes the content of an address that was handed out before.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
    body: Upload,
) -> Result<RawJson, Failure> {
    caller.not_suspended()?;
    if !app.house.is_local(&request.server_name) {
        return Err(Failure::not_found("this address belongs to another server"));
    }
    // Looked at before the body is read; judged again when the record is written.
    match app
        .house
        .media_query(&request.media_id, MediaQuery::Describe)
        .await
    {
        Ok(MediaAnswer::Awaited(reserved)) if reserved.user_id != caller.user_id.as_str() => {
            return Err(MediaError::Forbidden.into());
        }
        Ok(MediaAnswer::Awaited(reserved)) if reserved.expires_ms <= app.env().now_ms() => {
            return Err(MediaError::Expired.into());
        }
        Ok(MediaAnswer::Awaited(_)) => {}
        Ok(MediaAnswer::There { .. }) => {
            return Err(Failure::new(
                ErrorCode::CannotOverwriteMedia,
                "this address has its content",
            ));
        }
        Ok(MediaAnswer::Facts(_)) => {
            return Err(Failure::internal("unexpected answer to Describe"));
        }
        Err(MediaError::Unknown) => {
            return Err(Failure::not_found("this address was never handed out"));
        }
        Err(error) => return Err(playhouse_actors::house::HouseError::from(error).into()),
    }
    let described = Described {
        media_id: &request.media_id,
        content_type: request.content_type,
        file_name: request.filename,
    };
    store(&app, &caller, described, body).await?;
    Ok(empty())
}

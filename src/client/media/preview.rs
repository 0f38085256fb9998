//! Previews of links, whoever asks.

use ruma::api::error::ErrorCode;

use crate::{
    edge::{App, Failure, RawJson, Session},
    media::previews::PreviewError,
    outbound::OutboundError,
};

/// A user who asks for too many previews at once may ask again after so long.
const BUSY_RETRY_MS: u64 = 2_000;

/// The preview of a link.
pub(crate) async fn of(app: &App, caller: &Session, url: &str) -> Result<RawJson, Failure> {
    let Some(previews) = &app.previews else {
        return Err(Failure::new(
            ErrorCode::Unrecognized,
            "this server makes no previews",
        ));
    };
    let preview = previews.preview(caller.user_id.clone(), url).await?;
    Ok(RawJson(preview))
}

impl From<PreviewError> for Failure {
    fn from(error: PreviewError) -> Self {
        let message = error.to_string();
        match error {
            PreviewError::Outbound(OutboundError::NotAUrl) => Self::invalid_param(message),
            PreviewError::Outbound(OutboundError::Refused(_)) => Self::forbidden(message),
            PreviewError::Outbound(OutboundError::TooLarge) => {
                Self::new(ErrorCode::TooLarge, message).with_status(502)
            }
            PreviewError::Outbound(OutboundError::TooSlow) => {
                Self::new(ErrorCode::Unknown, message).with_status(504)
            }
            PreviewError::Outbound(_) | PreviewError::Picture(_) => {
                Self::new(ErrorCode::Unknown, message).with_status(502)
            }
            PreviewError::Busy => Self::limit_exceeded(BUSY_RETRY_MS),
            PreviewError::Broken => Self::internal(message),
        }
    }
}

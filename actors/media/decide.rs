//! What a piece of media makes of a command.

use playhouse_schema::record::media::{MediaRecord, Uploaded};

use super::{
    message::{MediaAnswer, MediaCommand, MediaError, MediaReply},
    state::Media,
};
use crate::{env::Env, kernel::Decision};

pub(super) fn decide(
    media: &Media,
    command: MediaCommand,
    env: &Env,
) -> Result<Decision<Media>, MediaError> {
    match command {
        MediaCommand::Reserve(reserved) => {
            if media.reserved.is_some() || media.uploaded.is_some() {
                return Err(MediaError::CannotOverwrite);
            }
            let records = vec![MediaRecord::Reserved(reserved)];
            Ok(Decision::new(records, MediaReply))
        }
        MediaCommand::Complete(uploaded) => complete(media, uploaded, env.now_ms()),
    }
}

fn complete(media: &Media, uploaded: Uploaded, now_ms: u64) -> Result<Decision<Media>, MediaError> {
    if let Some(there) = &media.uploaded {
        let same = there.sha256 == uploaded.sha256
            && there.user_id == uploaded.user_id
            && there.content_type == uploaded.content_type
            && there.file_name == uploaded.file_name
            && there.at_ms == uploaded.at_ms;
        return if same {
            Ok(Decision::unchanged(MediaReply))
        } else {
            Err(MediaError::CannotOverwrite)
        };
    }
    if let Some(reserved) = &media.reserved {
        if reserved.user_id != uploaded.user_id {
            return Err(MediaError::Forbidden);
        }
        if reserved.expires_ms <= now_ms {
            return Err(MediaError::Expired);
        }
    }
    let records = vec![MediaRecord::Uploaded(uploaded)];
    Ok(Decision::new(records, MediaReply))
}

/// What it is.
pub(super) fn describe(media: &Media) -> Result<MediaAnswer, MediaError> {
    match (&media.uploaded, &media.reserved) {
        (Some(uploaded), _) => Ok(MediaAnswer::There(uploaded.clone())),
        (None, Some(reserved)) => Ok(MediaAnswer::Awaited(reserved.clone())),
        (None, None) => Err(MediaError::Unknown),
    }
}

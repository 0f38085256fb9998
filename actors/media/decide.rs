//! What a piece of media makes of a command.

use playhouse_schema::record::media::{Judged, MediaRecord, Uploaded};

use super::{
    message::{MediaAnswer, MediaCommand, MediaError, MediaFacts, MediaReply},
    state::Media,
};
use crate::kernel::Decision;

pub(super) fn decide(
    media: &Media,
    command: MediaCommand,
    now_ms: u64,
) -> Result<Decision<Media>, MediaError> {
    let judged = |by| Judged { by, at_ms: now_ms };
    let record = match command {
        MediaCommand::Reserve(reserved) => {
            if media.is_known() {
                return Err(MediaError::CannotOverwrite);
            }
            Some(MediaRecord::Reserved(reserved))
        }
        MediaCommand::Complete(uploaded) => complete(media, uploaded, now_ms)?,
        MediaCommand::Quarantine { by } => {
            if !media.is_copy && !media.is_known() {
                return Err(MediaError::Unknown);
            }
            let is_free = media.quarantined_by.is_none() && !media.protected;
            is_free.then(|| MediaRecord::Quarantined(judged(by)))
        }
        MediaCommand::Release { by } => {
            if !media.is_known() && media.quarantined_by.is_none() {
                return Err(MediaError::Unknown);
            }
            let is_held = media.quarantined_by.is_some();
            is_held.then(|| MediaRecord::Released(judged(by)))
        }
        MediaCommand::Protect { on, by } => {
            if !media.is_known() {
                return Err(MediaError::Unknown);
            }
            let record = if on {
                MediaRecord::Protected(judged(by))
            } else {
                MediaRecord::Unprotected(judged(by))
            };
            (media.protected != on).then_some(record)
        }
        MediaCommand::Remove { by } => {
            if media.uploaded.is_none() {
                return Err(MediaError::Unknown);
            }
            Some(MediaRecord::Removed(judged(by)))
        }
        MediaCommand::NoteUse { every_ms } => {
            let is_due = now_ms.saturating_sub(media.used_ms) >= every_ms;
            (is_due && media.uploaded.is_some()).then_some(MediaRecord::Used(now_ms))
        }
    };
    let changed = record.is_some();
    Ok(Decision::new(
        record.into_iter().collect(),
        MediaReply { changed },
    ))
}

fn complete(
    media: &Media,
    uploaded: Uploaded,
    now_ms: u64,
) -> Result<Option<MediaRecord>, MediaError> {
    if media.quarantined_by.is_some() {
        return Err(MediaError::Quarantined);
    }
    if let Some(there) = &media.uploaded {
        let same = there.sha256 == uploaded.sha256
            && there.user_id == uploaded.user_id
            && there.content_type == uploaded.content_type
            && there.file_name == uploaded.file_name
            && there.at_ms == uploaded.at_ms;
        return if same {
            Ok(None)
        } else {
            Err(MediaError::CannotOverwrite)
        };
    }
    if media.removed && !media.is_copy {
        return Err(MediaError::CannotOverwrite);
    }
    if let Some(reserved) = &media.reserved {
        if reserved.user_id != uploaded.user_id {
            return Err(MediaError::Forbidden);
        }
        if reserved.expires_ms <= now_ms {
            return Err(MediaError::Expired);
        }
    }
    Ok(Some(MediaRecord::Uploaded(uploaded)))
}

/// What it is, for those who want its content.
pub(super) fn describe(media: &Media) -> Result<MediaAnswer, MediaError> {
    if media.quarantined_by.is_some() {
        return Err(MediaError::Quarantined);
    }
    match (&media.uploaded, &media.reserved) {
        (Some(uploaded), _) => Ok(MediaAnswer::There {
            uploaded: uploaded.clone(),
            used_ms: media.used_ms,
        }),
        (None, _) if media.removed && !media.is_copy => Err(MediaError::Removed),
        (None, Some(reserved)) => Ok(MediaAnswer::Awaited(reserved.clone())),
        (None, None) => Err(MediaError::Unknown),
    }
}

/// All there is to know.
pub(super) fn facts(media: &Media) -> Result<MediaAnswer, MediaError> {
    if !media.is_known() && media.quarantined_by.is_none() {
        return Err(MediaError::Unknown);
    }
    Ok(MediaAnswer::Facts(Box::new(MediaFacts {
        reserved: media.reserved.clone(),
        uploaded: media.uploaded.clone(),
        used_ms: media.used_ms,
        quarantined_by: media.quarantined_by.clone(),
        protected: media.protected,
    })))
}

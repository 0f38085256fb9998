use playhouse_schema::{
    address::Entity,
    record::media::{Reserved, Uploaded},
};

use super::{
    MediaAnswer, MediaCommand, MediaError,
    decide::{decide, describe, facts},
    state::Media,
};
use crate::kernel::parcel::crossed;

/// A piece of media that is told to do something at a time; whether anything changed.
fn tell(media: &mut Media, at_ms: u64, command: MediaCommand) -> Result<bool, MediaError> {
    let decision = decide(media, crossed(&command), at_ms)?;
    for record in &decision.records {
        media.take_in(record);
    }
    Ok(decision.reply.changed)
}

fn by() -> String {
    "@boss:b".to_owned()
}

fn upload(at_ms: u64) -> MediaCommand {
    MediaCommand::Complete(Uploaded {
        user_id: "@a:b".to_owned(),
        sha256: "b3-00".to_owned(),
        size_bytes: 5,
        content_type: None,
        file_name: None,
        at_ms,
    })
}

fn there(media: &Media) -> bool {
    matches!(describe(media), Ok(MediaAnswer::There { .. }))
}

#[test]
fn what_is_put_away_is_given_to_nobody_until_it_is_released() {
    let mut media = Media::of(&Entity::media("abc"));
    let quarantine = || MediaCommand::Quarantine { by: by() };
    let release = || MediaCommand::Release { by: by() };
    assert_eq!(
        tell(&mut media, 1, quarantine()),
        Err(MediaError::Unknown),
        "it is nobody's yet"
    );
    assert_eq!(tell(&mut media, 1, upload(1)), Ok(true));
    assert_eq!(tell(&mut media, 2, quarantine()), Ok(true));
    assert_eq!(tell(&mut media, 2, quarantine()), Ok(false));
    assert_eq!(describe(&media), Err(MediaError::Quarantined));
    assert!(
        matches!(facts(&media), Ok(MediaAnswer::Facts(facts)) if facts.quarantined_by == Some(by()))
    );
    assert_eq!(tell(&mut media, 3, release()), Ok(true));
    assert_eq!(tell(&mut media, 3, release()), Ok(false));
    assert!(there(&media));
    let protect = |on| MediaCommand::Protect { on, by: by() };
    assert_eq!(tell(&mut media, 4, protect(true)), Ok(true));
    assert_eq!(tell(&mut media, 4, protect(true)), Ok(false));
    assert_eq!(tell(&mut media, 4, quarantine()), Ok(false));
    assert!(there(&media));
    assert_eq!(tell(&mut media, 5, protect(false)), Ok(true));
    assert_eq!(tell(&mut media, 5, quarantine()), Ok(true));
}

#[test]
fn a_copy_is_put_away_before_it_comes() {
    let mut media = Media::of(&Entity::media("elsewhere.example/abc"));
    assert_eq!(describe(&media), Err(MediaError::Unknown));
    assert_eq!(
        tell(&mut media, 1, MediaCommand::Quarantine { by: by() }),
        Ok(true)
    );
    assert_eq!(describe(&media), Err(MediaError::Quarantined));
    assert_eq!(tell(&mut media, 2, upload(2)), Err(MediaError::Quarantined));
    assert_eq!(
        tell(&mut media, 3, MediaCommand::Release { by: by() }),
        Ok(true)
    );
    assert_eq!(tell(&mut media, 4, upload(4)), Ok(true));
    assert!(there(&media));
}

#[test]
fn only_a_copy_comes_back_after_it_was_deleted() {
    for (name, comes_back) in [("abc", false), ("elsewhere.example/abc", true)] {
        let mut media = Media::of(&Entity::media(name));
        let remove = || MediaCommand::Remove { by: by() };
        assert_eq!(tell(&mut media, 1, remove()), Err(MediaError::Unknown));
        assert_eq!(tell(&mut media, 1, upload(1)), Ok(true));
        assert_eq!(tell(&mut media, 2, remove()), Ok(true));
        assert_eq!(tell(&mut media, 2, remove()), Err(MediaError::Unknown));
        assert!(!there(&media));
        let again = tell(&mut media, 3, upload(3));
        assert_eq!(again.is_ok(), comes_back, "{name}: {again:?}");
        let reserved = Reserved {
            user_id: "@a:b".to_owned(),
            expires_ms: 9,
        };
        assert_eq!(
            tell(&mut media, 3, MediaCommand::Reserve(reserved)),
            Err(MediaError::CannotOverwrite)
        );
    }
}

#[test]
fn uses_are_noted_now_and_then() {
    let mut media = Media::of(&Entity::media("abc"));
    let used = || MediaCommand::NoteUse { every_ms: 100 };
    assert_eq!(tell(&mut media, 500, used()), Ok(false), "there is nothing");
    tell(&mut media, 1_000, upload(1_000)).expect("it is taken");
    for (at_ms, noted) in [
        (1_000, false),
        (1_099, false),
        (1_100, true),
        (1_150, false),
    ] {
        assert_eq!(tell(&mut media, at_ms, used()), Ok(noted), "{at_ms}");
    }
    assert_eq!(media.used_ms, 1_100);
}

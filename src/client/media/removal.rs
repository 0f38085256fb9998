//! Deleting media: its content, unless something else has the same, with what was made of it.

use playhouse_actors::{
    house::{HouseError, MediaName},
    media::{MediaCommand, MediaError},
};
use playhouse_schema::models::media_lists::UnusedMedia;

use crate::{
    edge::{App, Failure},
    media::blobs::Aside,
};

/// So many pieces of media are looked up at once.
const PAGE: usize = 200;

/// What was put aside lies there so long before somebody else judges it.
const ASIDE_MS: u64 = 60_000;

/// Deletes the content of a piece of media. Media of this server never comes back; that of another one is fetched again when somebody wants it.
///
/// First the bytes are put aside, then comes the record that says so, and then they are destroyed, unless another record names them by now (see
/// `media/blobs/aside.rs`). What a crash leaves before the record is put back by [`settle_all`] and still listed, and deleted when it is tried again; what it
/// leaves after the record is destroyed there.
pub(crate) async fn remove(app: &App, name: &MediaName, by: &str) -> Result<(), Failure> {
    let facts = app.house.media_facts(name).await?;
    let Some(uploaded) = facts.uploaded else {
        return Err(MediaError::Unknown.into());
    };
    let content = uploaded.sha256.as_str();
    // Nobody uploads the same content meanwhile, as a rule.
    let _alone = app.blobs.alone(content).await?;
    let mut aside = None;
    if !app.house.is_content_shared(content, name).await? {
        aside = app.blobs.put_aside(content, app.env().now_ms()).await?;
    }
    let command = MediaCommand::Remove { by: by.to_owned() };
    let key = app.house.media_key(name);
    // When it is not known whether the record was written, what lies aside is judged later.
    let removed = app.house.media_command(&key, command).await;
    removed.map_err(HouseError::from)?;
    // Two that remove the last two pieces with one content each find the other at first, and one of them none now.
    if aside.is_none() && !app.house.is_content_named(content).await? {
        aside = app.blobs.put_aside(content, app.env().now_ms()).await?;
    }
    match aside {
        Some(aside) => settle(app, &aside).await,
        None => Ok(()),
    }
}

/// Puts back what something names, and destroys the rest.
async fn settle(app: &App, aside: &Aside) -> Result<(), Failure> {
    let is_named = app.house.is_content_named(&aside.name).await?;
    Ok(app.blobs.settle(aside, is_named).await?)
}

/// Settles what was put aside by those who have not come to the end.
pub(super) async fn settle_all(app: &App) -> Result<(), Failure> {
    let before_ms = app.env().now_ms().saturating_sub(ASIDE_MS);
    let mut outcome = Ok(());
    for aside in app.blobs.aside_before(before_ms).await? {
        // One that cannot be settled is not in the way of the others.
        match settle(app, &aside).await {
            Ok(()) => tracing::warn!("content that a removal had left aside is settled"),
            failed => outcome = failed,
        }
    }
    outcome
}

/// Deletes some pieces of media. Tells which were there.
pub(crate) async fn remove_all(
    app: &App,
    names: Vec<MediaName>,
    by: &str,
) -> Result<Vec<MediaName>, Failure> {
    let mut removed = Vec::new();
    for name in names {
        match remove(app, &name, by).await {
            Ok(()) => removed.push(name),
            // Somebody else was faster.
            Err(failure) if failure.status() == 404 => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(removed)
}

/// Deletes what nobody has used for long, so many pieces at most. Tells which.
pub(crate) async fn remove_unused(
    app: &App,
    which: &UnusedMedia,
    by: &str,
    most: usize,
) -> Result<Vec<MediaName>, Failure> {
    let mut after = (0, String::new());
    let mut removed = Vec::new();
    while removed.len() < most {
        let limit = PAGE.min(most - removed.len());
        let page = app.house.unused_media(which, &after, limit).await?;
        let Some((used_ms, last)) = page.last() else {
            break;
        };
        after = (*used_ms, app.house.media_key(last));
        let names = page.into_iter().map(|(_, name)| name).collect();
        removed.extend(remove_all(app, names, by).await?);
    }
    Ok(removed)
}

//! Deleting media: its content, unless something else has the same, with what was made of it.

use playhouse_actors::{
    house::{HouseError, MediaName},
    media::{MediaCommand, MediaError},
};
use playhouse_schema::models::media_lists::UnusedMedia;

use crate::edge::{App, Failure};

/// So many pieces of media are looked up at once.
const PAGE: usize = 200;

/// Deletes the content of a piece of media. Media of this server never comes back; that of another one is fetched again when somebody wants it.
///
/// First the bytes, then the record that says so: what a crash leaves in between is still listed, and deleted when it is tried again.
pub(crate) async fn remove(app: &App, name: &MediaName, by: &str) -> Result<(), Failure> {
    let facts = app.house.media_facts(name).await?;
    let Some(uploaded) = facts.uploaded else {
        return Err(MediaError::Unknown.into());
    };
    // Nobody uploads the same content meanwhile.
    let _alone = app.blobs.alone(&uploaded.sha256).await?;
    if !app.house.is_content_shared(&uploaded.sha256, name).await? {
        app.blobs.remove(&uploaded.sha256).await?;
    }
    let command = MediaCommand::Remove { by: by.to_owned() };
    let key = app.house.media_key(name);
    let removed = app.house.media_command(&key, command).await;
    removed.map_err(HouseError::from)?;
    Ok(())
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

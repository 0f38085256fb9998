//! What blobs are called. A name carries how it was made, so that old names stay readable when a better way comes.

use object_store::path::Path;

/// Where a blob belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// What users uploaded: the same content is stored once.
    Uploads,
    /// Pictures of previews made on this day since the Unix epoch: they are removed some days later, whoever shows them.
    Previews {
        /// The day.
        day: u64,
    },
}

/// The name of new content: `b3-` with its BLAKE3, below the day for pictures of previews. In the records of old content it is a SHA-256 alone.
pub(super) fn name(shelf: Shelf, hash: &blake3::Hash) -> String {
    match shelf {
        Shelf::Uploads => format!("b3-{}", hash.to_hex()),
        Shelf::Previews { day } => format!("p{day}-b3-{}", hash.to_hex()),
    }
}

/// Where a blob lies in the store; nothing for what is no name.
pub(super) fn path(name: &str) -> Option<Path> {
    let (shelf, hash) = match name.split_once("b3-") {
        None => ("blobs".to_owned(), name),
        Some(("", hash)) => ("blobs/b3".to_owned(), hash),
        Some((day, hash)) => {
            let day: u64 = day.strip_prefix('p')?.strip_suffix('-')?.parse().ok()?;
            (format!("previews/{day}"), hash)
        }
    };
    let (first, second) = (hash.get(..2)?, hash.get(2..4)?);
    let is_hash = hash.len() == 64
        && hash
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| Path::from(format!("{shelf}/{first}/{second}/{hash}")))
}

/// The name of the blob that lies here; nothing for pictures of previews, and for what is no blob.
pub(super) fn name_at(path: &Path) -> Option<String> {
    let hash = path.filename()?;
    [hash.to_owned(), format!("b3-{hash}")]
        .into_iter()
        .find(|name| self::path(name).as_ref() == Some(path))
}

/// Where a thumbnail of a blob lies.
pub(super) fn thumbnail_path(name: &str, size: &str) -> Option<Path> {
    let blob = path(name)?;
    // Beside the pictures of a day's previews lie their thumbnails: they go with them.
    let blob = blob.as_ref();
    Some(Path::from(match blob.strip_prefix("blobs/") {
        Some(rest) => format!("thumbnails/{rest}-{size}"),
        None => format!("{blob}-{size}"),
    }))
}

/// Where thumbnails of a blob lie: their folder, and how their names begin.
pub(super) fn thumbnails(name: &str) -> Option<(Path, String)> {
    let any = thumbnail_path(name, "")?;
    let (folder, beginning) = any.as_ref().rsplit_once('/')?;
    Some((Path::from(folder), beginning.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_how_they_were_made() {
        let hash = blake3::hash(b"hello");
        let hex = hash.to_hex().to_string();
        let (first, second) = (&hex[..2], &hex[2..4]);
        for (name, wanted) in [
            (hex.clone(), format!("blobs/{first}/{second}/{hex}")),
            (
                name(Shelf::Uploads, &hash),
                format!("blobs/b3/{first}/{second}/{hex}"),
            ),
            (
                name(Shelf::Previews { day: 20_000 }, &hash),
                format!("previews/20000/{first}/{second}/{hex}"),
            ),
        ] {
            assert_eq!(path(&name).map(String::from), Some(wanted.clone()));
            let is_preview = name.starts_with('p');
            assert_eq!(name_at(&Path::from(wanted)), (!is_preview).then_some(name));
        }
        for wrong in [
            "",
            "b3-",
            "x",
            "../../etc/passwd",
            "p1-b3-../..",
            "q1-b3-aa",
            "é",
        ] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
        assert_eq!(path(&format!("p../-b3-{hex}")), None);
        assert_eq!(path(&hex.to_uppercase()), None);
        let small = thumbnail_path(&hex, "32x32-crop").map(String::from);
        let wanted = format!("thumbnails/{first}/{second}/{hex}-32x32-crop");
        assert_eq!(small, Some(wanted));
    }
}

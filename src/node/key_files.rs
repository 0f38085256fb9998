//! The files of this server's own keys: those in use, and beside them those of former times, whose signatures stay valid.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use playhouse_actors::env::{RetiredKey, Signer};

use super::{
    StartError,
    identity::{SigningKey, io},
};

/// What signs with the keys of a file, which is made when there is none.
pub fn open_signer(path: &Path) -> Result<Signer, StartError> {
    // Makes the file and says what is wrong with it.
    SigningKey::load_or_create(path)?;
    let (signer, beside) = read_in_use(path)?;
    let mut retired = read_retired(&retired_path(path))?;
    // A rotation that broke off has retired a key that is still in use.
    let is_in_use = |key_id: &str| {
        let mut all = std::iter::once(&signer).chain(&beside);
        all.any(|signer| signer.key_id().as_str() == key_id)
    };
    retired.retain(|key| !is_in_use(&key.key_id));
    Ok(signer.with_others(beside, retired))
}

/// Puts a new key in the place of those in use and retires them. To be done while no server runs with them; answers the new key's signer.
pub fn rotate(path: &Path, now_ms: u64) -> Result<Signer, StartError> {
    let before = open_signer(path)?;
    let gone = std::iter::once(&before).chain(before.beside());
    let mut retired = before.retired().to_vec();
    retired.extend(gone.map(|signer| RetiredKey {
        key_id: signer.key_id().to_string(),
        public_key: signer.public_key().to_vec(),
        expired_ts: now_ms,
    }));
    let lines: String = retired.iter().map(retired_line).collect();
    replace(&retired_path(path), &lines)?;
    replace(path, SigningKey::generate().line())?;
    open_signer(path)
}

fn read_in_use(path: &Path) -> Result<(Signer, Vec<Signer>), StartError> {
    let text = fs::read_to_string(path).map_err(|error| io(path, error))?;
    let mut keys = SigningKey::parse_all(&text).unwrap_or_default().into_iter();
    let first = keys
        .next()
        .ok_or_else(|| StartError::Key(format!("{} has no signing key", path.display())))?;
    let beside: Result<_, _> = keys.map(|key| key.signer()).collect();
    Ok((first.signer()?, beside?))
}

/// Beside the file of the keys in use.
pub(super) fn retired_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// Reads lines `ed25519:<version> <unpadded base64 of the public key> <milliseconds since the Unix epoch>`.
fn read_retired(path: &Path) -> Result<Vec<RetiredKey>, StartError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(path, error)),
    };
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let unusable =
        |line: &str| StartError::Key(format!("{}: `{line}` is no old key", path.display()));
    lines
        .map(|line| parse_retired(line).ok_or_else(|| unusable(line)))
        .collect()
}

fn parse_retired(line: &str) -> Option<RetiredKey> {
    let mut words = line.split_whitespace();
    let (key_id, key, expired_ts) = (words.next()?, words.next()?, words.next()?);
    let public_key = STANDARD_NO_PAD.decode(key.trim_end_matches('=')).ok()?;
    (key_id.starts_with("ed25519:") && public_key.len() == 32).then_some(RetiredKey {
        key_id: key_id.to_owned(),
        public_key,
        expired_ts: expired_ts.parse().ok()?,
    })
}

fn retired_line(key: &RetiredKey) -> String {
    let encoded = STANDARD_NO_PAD.encode(&key.public_key);
    format!("{} {encoded} {}\n", key.key_id, key.expired_ts)
}

/// Writes a file that only its owner may read, so that at any moment either the old or the new content is there.
pub(super) fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<(), StartError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(|error| io(&fresh, error))?;
    file.write_all(content.as_ref())
        .and_then(|()| file.sync_all())
        .map_err(|error| io(&fresh, error))?;
    fs::rename(&fresh, path).map_err(|error| io(path, error))?;
    match path.parent().map(fs::File::open) {
        Some(Ok(folder)) => folder.sync_all().map_err(|error| io(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_keys_stay_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        let first = open_signer(&path).unwrap();
        let beside = SigningKey::generate();
        let beside_id = beside.signer().unwrap().key_id().to_string();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# ours\n{text}\n{}", beside.line())).unwrap();
        assert_eq!(open_signer(&path).unwrap().beside().len(), 1);
        let second = rotate(&path, 1_000).unwrap();
        assert_ne!(second.key_id(), first.key_id());
        let third = rotate(&path, 2_000).unwrap();
        let retired: Vec<_> = third
            .retired()
            .iter()
            .map(|key| (key.key_id.as_str(), key.expired_ts))
            .collect();
        let expected = [
            (first.key_id().as_str(), 1_000),
            (beside_id.as_str(), 1_000),
            (second.key_id().as_str(), 2_000),
        ];
        assert_eq!(retired, expected);
        assert_eq!(third.retired()[0].public_key, first.public_key());
        // As after a rotation that broke off.
        fs::write(retired_path(&path), {
            let mut text = fs::read_to_string(retired_path(&path)).unwrap();
            text.push_str(&retired_line(&RetiredKey {
                key_id: third.key_id().to_string(),
                public_key: third.public_key().to_vec(),
                expired_ts: 3_000,
            }));
            text
        })
        .unwrap();
        assert_eq!(open_signer(&path).unwrap().retired().len(), 3);
        fs::write(retired_path(&path), "nonsense").unwrap();
        assert!(open_signer(&path).is_err());
    }
}

//! The signing key and other secrets: where they are kept and how they are made.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use playhouse_actors::env::Signer;

use super::StartError;

/// The key with which events and requests are signed: a version and a seed.
pub struct SigningKey {
    version: String,
    seed: [u8; 32],
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Self {
        let mut seed = [0; 32];
        fill(&mut seed);
        Self {
            version: format!("p_{}", random_secret(6)),
            seed,
        }
    }

    /// Reads the key that signs, or makes it when there is none yet.
    pub fn load_or_create(path: &Path) -> Result<Self, StartError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse_all(&text)
                .and_then(|keys| keys.into_iter().next())
                .ok_or_else(|| StartError::Key(format!("{} is no signing key", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = Self::generate();
                key.store(path)?;
                Ok(key)
            }
            Err(error) => Err(io(path, error)),
        }
    }

    /// Reads the keys of a file, one a line: the first signs, the others are valid too. Lines that begin with `#` are not looked at.
    pub(super) fn parse_all(text: &str) -> Option<Vec<Self>> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<Self> = lines.map(Self::parse).collect::<Option<_>>()?;
        (!keys.is_empty()).then_some(keys)
    }

    /// Reads `ed25519 <version> <unpadded base64 of the seed>`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let ("ed25519", version, seed) = (words.next()?, words.next()?, words.next()?) else {
            return None;
        };
        let seed = STANDARD_NO_PAD.decode(seed.trim_end_matches('=')).ok()?;
        Some(Self {
            version: version.to_owned(),
            seed: seed.try_into().ok()?,
        })
    }

    /// Writes a new file that only its owner may read. An existing file is never replaced: events signed with a lost key cannot be sent again.
    pub fn store(&self, path: &Path) -> Result<(), StartError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| io(folder, error))?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| io(path, error))?;
        file.write_all(self.line().as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| io(path, error))
    }

    /// As a line of a file.
    pub(super) fn line(&self) -> String {
        let seed = STANDARD_NO_PAD.encode(self.seed);
        format!("ed25519 {} {seed}\n", self.version)
    }

    /// What signs with it.
    pub fn signer(&self) -> Result<Signer, StartError> {
        Signer::from_seed(&self.version, &self.seed)
            .ok_or_else(|| StartError::Key("the signing key is unusable".to_owned()))
    }
}

pub(super) fn io(path: &Path, error: std::io::Error) -> StartError {
    StartError::Io {
        what: path.display().to_string(),
        error,
    }
}

/// Before there is an environment there is only the system's randomness.
fn fill(buffer: &mut [u8]) {
    aws_lc_rs::rand::fill(buffer).expect("the operating system gives randomness");
}

/// A random text of letters and digits.
pub fn random_secret(length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzABCDEF23";
    let mut bytes = vec![0; length];
    fill(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

/// By what operators recognise this process.
pub(super) fn process_name() -> String {
    let process = format!("process {}", std::process::id());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(host) => format!("host {}, {process}", host.trim()),
        Err(_) => process,
    }
}

/// A name for this run of this node that no other has.
pub(super) fn owner_name() -> String {
    format!("node-{}", uuid::Uuid::now_v7())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/signing.key");
        let made = SigningKey::load_or_create(&path).unwrap();
        let read = SigningKey::load_or_create(&path).unwrap();
        assert_eq!((made.version, made.seed), (read.version.clone(), read.seed));
        assert!(read.signer().is_ok());
        assert!(read.store(&path).is_err(), "never replaced");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn other_texts_are_no_keys() {
        assert!(SigningKey::parse("ed25519 a").is_none());
        assert!(SigningKey::parse("rsa a AAAA").is_none());
        assert!(SigningKey::parse("ed25519 a AAAA").is_none());
    }
}

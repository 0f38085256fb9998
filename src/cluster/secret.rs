//! The secret that makes nodes one cluster, and the keys that follow from it.
//!
//! It is sent to nobody: of it come the key that signs certificates, and the one that locks what nodes share in the database.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
    rand,
};

/// A secret has at least so many bytes.
pub(crate) const SECRET_BYTES_MIN: usize = 16;

/// Keeps the keys of one program apart from those of another that was given the same secret.
const SALT: &[u8] = b"playhouse cluster 1";

/// See the module's documentation. Never shown.
#[derive(Clone)]
pub(crate) struct ClusterSecret(Arc<Prk>);

impl ClusterSecret {
    /// From what the operator set; `None` when that is too short.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_long = text.len() >= SECRET_BYTES_MIN;
        is_long.then(|| {
            Self(Arc::new(
                Salt::new(HKDF_SHA256, SALT).extract(text.as_bytes()),
            ))
        })
    }

    /// The key for a purpose.
    pub(crate) fn key(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        let info = [purpose.as_bytes()];
        let derived = self.0.expand(&info, HKDF_SHA256);
        derived
            .and_then(|derived| derived.fill(&mut key))
            .expect("32 bytes are what SHA-256 makes");
        key
    }

    /// Locks something up under a name. `None` when the operating system has no randomness.
    pub(crate) fn lock(&self, name: &str, content: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut locked = content.to_vec();
        let key = self.lock_key()?;
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_used, Aad::from(name.as_bytes()), &mut locked)
            .ok()?;
        Some([&nonce[..], &locked].concat())
    }

    /// Opens what was locked up under the same name; `None` when it was locked with another secret, or is damaged.
    pub(crate) fn unlock(&self, name: &str, locked: &[u8]) -> Option<Vec<u8>> {
        let (nonce, locked) = locked.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut content = locked.to_vec();
        let key = self.lock_key()?;
        let aad = Aad::from(name.as_bytes());
        let length = key.open_in_place(nonce, aad, &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }

    fn lock_key(&self) -> Option<LessSafeKey> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.key("lock")).ok()?;
        Some(LessSafeKey::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> ClusterSecret {
        ClusterSecret::new(text).unwrap()
    }

    #[test]
    fn short_secrets_are_refused() {
        assert!(ClusterSecret::new("fifteen bytes ..").is_some());
        assert!(ClusterSecret::new("fifteen bytes .").is_none());
        assert!(ClusterSecret::new("   short \n             ").is_none());
    }

    #[test]
    fn keys_follow_from_secret_and_purpose() {
        let one = secret("a secret of some length");
        assert_eq!(one.key("a"), secret("a secret of some length\n").key("a"));
        assert_ne!(one.key("a"), one.key("b"));
        assert_ne!(one.key("a"), secret("a secret of other length").key("a"));
    }

    #[test]
    fn what_is_locked_opens_with_the_same_secret_under_the_same_name() {
        let one = secret("a secret of some length");
        let locked = one.lock("identity", b"precious").unwrap();
        assert!(!locked.windows(8).any(|some| some == b"precious"));
        assert_eq!(one.unlock("identity", &locked).unwrap(), b"precious");
        assert_eq!(one.unlock("other", &locked), None);
        let other = secret("a secret of other length");
        assert_eq!(other.unlock("identity", &locked), None);
        for end in 0..locked.len() {
            assert_eq!(one.unlock("identity", &locked[..end]), None);
        }
        assert_ne!(one.lock("identity", b"precious").unwrap(), locked);
    }
}

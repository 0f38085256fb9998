//! Who sends: VAPID (RFC 8292).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::json;

use super::super::ec_key::EcKey;

/// Tokens are good for so long; push services refuse more than a day.
const LIFETIME_MS: u64 = 12 * 60 * 60 * 1_000;

/// They are used for so long.
const USED_MS: u64 = LIFETIME_MS / 2;

/// Tokens for so many push services are kept.
const KEPT_MAX: usize = 64;

/// The key of which browsers know the public half, and who has it.
pub(super) struct Vapid {
    key: EcKey,
    contact: String,
    tokens: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Vapid {
    /// Reads the key's PEM file.
    pub(super) fn open(path: &str, contact: &str) -> Result<Self, String> {
        let contact = match contact.split_once(':') {
            Some(("mailto" | "https", _)) => contact.to_owned(),
            _ => format!("mailto:{contact}"),
        };
        Ok(Self {
            key: EcKey::open(path)?,
            contact,
            tokens: Mutex::default(),
        })
    }

    /// The `Authorization` header for a push service, by its origin.
    pub(super) fn authorization(&self, origin: &str, now_ms: u64) -> Result<String, String> {
        let token = self.token(origin, now_ms)?;
        let key = URL_SAFE_NO_PAD.encode(self.key.public_key());
        Ok(format!("vapid t={token}, k={key}"))
    }

    fn token(&self, origin: &str, now_ms: u64) -> Result<String, String> {
        let mut tokens = self.tokens.lock();
        if let Some((since_ms, token)) = tokens.get(origin)
            && now_ms.saturating_sub(*since_ms) < USED_MS
        {
            return Ok(token.clone());
        }
        let header = json!({ "typ": "JWT", "alg": "ES256" });
        let claims = json!({
            "aud": origin,
            "exp": (now_ms + LIFETIME_MS) / 1_000,
            "sub": self.contact,
        });
        let token = self.key.token(&header, &claims)?;
        if tokens.len() >= KEPT_MAX {
            tokens.clear();
        }
        tokens.insert(origin.to_owned(), (now_ms, token.clone()));
        Ok(token)
    }
}

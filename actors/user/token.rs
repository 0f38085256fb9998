//! Access and refresh tokens. A token names its owner, so that it can be asked of the right actor; only its SHA-256 is ever stored.
//!
//! Form: `pht_` (access) or `phr_` (refresh), the local part in base64url, `_`, 32 random characters, `_`, a checksum that catches typing errors and lets
//! secret scanners recognise a token.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_schema::chain::digest;
use ruma::{OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::env::Env;

/// Random characters of a token: 190 bits.
const SECRET_CHARACTERS: usize = 32;
/// Nothing longer is looked at.
const TOKEN_BYTES_MAX: usize = 512;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Sent with every request.
    Access,
    /// Exchanged for new tokens.
    Refresh,
    /// Logs in once.
    Login,
    /// An OAuth authorization code.
    Code,
    /// The cookie of a browser that is let into the account's pages.
    Browser,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            TokenKind::Access => "pht_",
            TokenKind::Refresh => "phr_",
            TokenKind::Login => "phl_",
            TokenKind::Code => "phc_",
            TokenKind::Browser => "phb_",
        }
    }
}

/// The SHA-256 of a token. Compared in constant time where two are known; looking one up tells an attacker nothing, since he cannot choose digests.
#[derive(Clone, Debug, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenHash(#[serde(with = "serde_bytes")] [u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(digest(token.as_bytes()))
    }

    /// A hash out of a record. Anything that is not 32 bytes long matches no token.
    pub(crate) fn from_record(bytes: &[u8]) -> Self {
        Self(bytes.try_into().unwrap_or([0; 32]))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn to_record(&self) -> serde_bytes::ByteBuf {
        serde_bytes::ByteBuf::from(self.0.to_vec())
    }
}

/// Makes a token for a user.
pub(crate) fn make(kind: TokenKind, user_id: &UserId, env: &Env) -> String {
    let mut token = format!(
        "{}{}_{}",
        kind.prefix(),
        URL_SAFE_NO_PAD.encode(user_id.localpart()),
        env.random_string(SECRET_CHARACTERS)
    );
    let sum = checksum(token.as_bytes());
    token.push('_');
    token.push_str(&sum);
    token
}

/// The local user an access or refresh token says it belongs to, or `None` when it cannot be one of ours. Proves nothing: the user's actor knows its
/// tokens.
pub fn owner(token: &str, server_name: &ServerName) -> Option<OwnedUserId> {
    owner_of(&[TokenKind::Access, TokenKind::Refresh], token, server_name)
}

/// As [`owner`], for tokens of some kinds.
pub fn owner_of(kinds: &[TokenKind], token: &str, server_name: &ServerName) -> Option<OwnedUserId> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, sum) = token.rsplit_once('_')?;
    if checksum(signed.as_bytes()) != sum {
        return None;
    }
    let named = kinds
        .iter()
        .find_map(|kind| signed.strip_prefix(kind.prefix()))?;
    let (name, secret) = named.rsplit_once('_')?;
    if secret.len() != SECRET_CHARACTERS {
        return None;
    }
    let localpart = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    UserId::parse(format!("@{localpart}:{server_name}")).ok()
}

/// What the token of a tool for administrators begins with.
const ADMIN_PREFIX: &str = "pha_";

/// Makes a token for a tool of administrators. It names nobody.
pub(crate) fn make_for_admins(env: &Env) -> String {
    let mut token = format!("{ADMIN_PREFIX}{}", env.random_string(SECRET_CHARACTERS));
    let sum = checksum(token.as_bytes());
    token.push('_');
    token.push_str(&sum);
    token
}

/// Whether a token looks like one of a tool for administrators. Proves nothing.
pub fn is_for_admins(token: &str) -> bool {
    let parts = token.strip_prefix(ADMIN_PREFIX);
    let parts = parts.filter(|_| token.len() <= TOKEN_BYTES_MAX);
    let Some((secret, sum)) = parts.and_then(|parts| parts.split_once('_')) else {
        return false;
    };
    let signed = &token[..ADMIN_PREFIX.len() + secret.len()];
    secret.len() == SECRET_CHARACTERS && checksum(signed.as_bytes()) == sum
}

/// CRC-32 (IEEE) in base 62, six characters.
fn checksum(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    });
    let mut text = String::with_capacity(6);
    for _ in 0..6 {
        text.push(char::from(ALPHABET[(rest % 62) as usize]));
        rest /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use ruma::{server_name, user_id};

    use super::{super::tests::trial, *};

    #[test]
    fn names_its_owner() {
        let env = trial::env();
        for user_id in [
            user_id!("@alice:example.org"),
            user_id!("@_under_score_:example.org"),
            user_id!("@a/b=c.d-e:example.org"),
        ] {
            for kind in [TokenKind::Access, TokenKind::Refresh] {
                let token = make(kind, user_id, &env);
                assert_eq!(
                    owner(&token, server_name!("example.org")).as_deref(),
                    Some(user_id)
                );
            }
        }
    }

    #[test]
    fn refuses_what_is_not_ours() {
        let env = trial::env();
        let token = make(TokenKind::Access, user_id!("@alice:example.org"), &env);
        let typo = token.replacen('Y', "Z", 1);
        let shorter = &token[..token.len() - 1];
        let long = "x_".repeat(1000);
        for bad in [
            "",
            "_",
            "pht___",
            "syt_YWxpY2U_secret_123456",
            &typo,
            shorter,
            &long,
        ] {
            assert_eq!(owner(bad, server_name!("example.org")), None, "{bad}");
        }
    }

    #[test]
    fn tokens_of_tools_are_told_from_others() {
        let env = trial::env();
        let token = make_for_admins(&env);
        assert!(is_for_admins(&token), "{token}");
        assert_eq!(owner(&token, server_name!("example.org")), None);
        let user = make(TokenKind::Access, user_id!("@alice:example.org"), &env);
        let shorter = &token[..token.len() - 1];
        for other in ["", "pha_", "pha__", &user, shorter] {
            assert!(!is_for_admins(other), "{other}");
        }
    }

    #[test]
    fn checksum_is_crc32() {
        // 0xCBF43926, the check value of CRC-32.
        let mut value = 0xCBF4_3926u64;
        let digits: Vec<u64> = (0..6)
            .map(|_| {
                let digit = value % 62;
                value /= 62;
                digit
            })
            .collect();
        let text = checksum(b"123456789");
        let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let found: Vec<u64> = text
            .chars()
            .filter_map(|letter| alphabet.find(letter).map(|place| place as u64))
            .collect();
        assert_eq!(found, digits);
    }
}

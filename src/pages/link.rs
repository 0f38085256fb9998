//! Tokens of links in mails: what they are for stands in them, signed. They hold until what they speak of has changed.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::shell::Pages;

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 4_096;

impl Pages {
    /// A token that says these words for a purpose: `base64url(JSON list of the words) "." base64url(HMAC-SHA256)`.
    pub(crate) fn link_token(&self, purpose: &str, words: &[&str]) -> String {
        let words = serde_json::to_string(words).expect("texts are JSON");
        let proof = hmac::sign(&self.key, &signed(purpose, &words));
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", encode(words.as_bytes()), encode(proof.as_ref()))
    }

    /// The words of a token that this server made for this purpose.
    pub(crate) fn read_link_token<const N: usize>(
        &self,
        purpose: &str,
        token: &str,
    ) -> Option<[String; N]> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (words, proof) = token.split_once('.')?;
        let words = String::from_utf8(URL_SAFE_NO_PAD.decode(words).ok()?).ok()?;
        let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
        hmac::verify(&self.key, &signed(purpose, &words), &proof).ok()?;
        let words: Vec<String> = serde_json::from_str(&words).ok()?;
        words.try_into().ok()
    }
}

/// Begins otherwise than what seals of forms sign.
fn signed(purpose: &str, words: &str) -> Vec<u8> {
    format!("link:{}:{purpose}{words}", purpose.len()).into_bytes()
}

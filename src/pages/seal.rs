//! Proof that a form came from this server and goes with a session: against requests that other sites forge.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::signatures::KeyPair as _;

use super::{page::Form, shell::Pages};
use crate::edge::{Browser, Failure};

/// A form may be sent so long after it was shown.
pub(crate) const SEAL_LIFETIME_MS: u64 = 2 * 60 * 60 * 1000;

/// The key behind seals: the same on all nodes and after a restart, since it follows from the signing key.
pub(super) fn key(env: &playhouse_actors::env::Env) -> hmac::Key {
    // No JSON object begins like this, so no signature that others ask for can be the same.
    let signature = env.identity.signer.sign(b"playhouse: key of page seals");
    hmac::Key::new(hmac::HMAC_SHA256, signature.as_bytes())
}

impl Pages {
    /// A seal for a purpose and what it is bound to. It ends after two hours.
    pub(crate) fn seal(&self, purpose: &str, binding: &str) -> String {
        let until_ms = self.env.now_ms() + SEAL_LIFETIME_MS;
        let proof = hmac::sign(&self.key, &sealed(purpose, binding, until_ms));
        format!("{until_ms}.{}", URL_SAFE_NO_PAD.encode(proof.as_ref()))
    }

    /// Whether a form carries the seal for this purpose and binding: `M_FORBIDDEN` without.
    pub(crate) fn check_seal(
        &self,
        browser: &Browser,
        purpose: &str,
        binding: &str,
    ) -> Result<(), Failure> {
        let seal = browser.form.get(Form::SEAL).unwrap_or_default();
        if self.is_sealed(seal, purpose, binding) {
            Ok(())
        } else {
            Err(Failure::forbidden(
                browser.language.say("shell.form_too_old"),
            ))
        }
    }

    /// Whether a seal is good for this purpose and binding.
    pub(crate) fn is_sealed(&self, seal: &str, purpose: &str, binding: &str) -> bool {
        let parts = seal.split_once('.').and_then(|(until_ms, proof)| {
            let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
            Some((until_ms.parse::<u64>().ok()?, proof))
        });
        parts.is_some_and(|(until_ms, proof)| {
            self.env.now_ms() < until_ms
                && hmac::verify(&self.key, &sealed(purpose, binding, until_ms), &proof).is_ok()
        })
    }
}

fn sealed(purpose: &str, binding: &str, until_ms: u64) -> Vec<u8> {
    format!("{}:{purpose}{until_ms}:{binding}", purpose.len()).into_bytes()
}

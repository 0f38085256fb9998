//! Nonces of registration by shared secret: signed by the house, so that each of its nodes knows them, before and after a restart.
//!
//! A nonce is 128 hexadecimal digits: until when it is good, something random, and a proof that this house has said both.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use playhouse_schema::record::house::UsedNonce;
use ruma::signatures::KeyPair as _;
use subtle::ConstantTimeEq as _;

use crate::env::Env;

/// A nonce is good for so long.
pub(super) const LIFETIME_MS: u64 = 60_000;

/// The digits of the time.
const TIME_DIGITS: usize = 16;

/// What is random.
const RANDOM_BYTES: usize = 24;

/// Time and what is random together.
const SAID_DIGITS: usize = TIME_DIGITS + 2 * RANDOM_BYTES;

/// A new nonce, good for a minute from now on.
pub fn give_nonce(env: &Env) -> String {
    let until_ms = env.now_ms().saturating_add(LIFETIME_MS);
    let random = hexadecimal(&env.random_bytes::<RANDOM_BYTES>());
    let said = format!("{until_ms:016x}{random}");
    let proof = proof(env, &said);
    said + &proof
}

/// What a nonce says: `None` when it is not of this house or too old. Whether it was used, [`super::RegistrationCommand::UseNonce`] tells.
pub fn read_nonce(env: &Env, nonce: &str) -> Option<UsedNonce> {
    let (said, given) = nonce.split_at_checked(SAID_DIGITS)?;
    let is_ours: bool = proof(env, said).as_bytes().ct_eq(given.as_bytes()).into();
    if !is_ours {
        return None;
    }
    let (until, random) = said.split_at_checked(TIME_DIGITS)?;
    let until_ms = u64::from_str_radix(until, 16).ok()?;
    (env.now_ms() < until_ms).then(|| UsedNonce {
        random: random.to_owned(),
        until_ms,
    })
}

/// The key follows from the signing key, so it is the same on all nodes and after a restart.
fn proof(env: &Env, said: &str) -> String {
    // No JSON object begins like this, so no signature that others ask for can be the same.
    let signature = env
        .identity
        .signer
        .sign(b"playhouse: key of registration nonces");
    let key = hmac::Key::new(hmac::HMAC_SHA256, signature.as_bytes());
    hexadecimal(hmac::sign(&key, said.as_bytes()).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        env::{Clock, Identity, Signer},
        kernel::memory,
    };

    struct At(u64);

    impl Clock for At {
        fn now_ms(&self) -> u64 {
            self.0
        }
    }

    fn at(now_ms: u64) -> Env {
        Env {
            clock: Arc::new(At(now_ms)),
            ..memory::env()
        }
    }

    #[test]
    fn a_nonce_is_good_for_a_minute() {
        let nonce = give_nonce(&at(5));
        assert_eq!(nonce.len(), 128);
        let said = read_nonce(&at(5), &nonce).unwrap();
        assert_eq!(said.until_ms, 5 + LIFETIME_MS);
        assert_eq!(read_nonce(&at(4 + LIFETIME_MS), &nonce), Some(said));
        assert_eq!(read_nonce(&at(5 + LIFETIME_MS), &nonce), None);
        assert_ne!(give_nonce(&at(5)), nonce);
    }

    #[test]
    fn nobody_else_gives_one() {
        let nonce = give_nonce(&at(5));
        let later = format!("{:016x}{}", u64::MAX, &nonce[TIME_DIGITS..]);
        let shorter = nonce[..127].to_owned();
        let longer = format!("{nonce}0");
        for wrong in [later, shorter, longer, String::new(), "ä".repeat(64)] {
            assert_eq!(read_nonce(&at(5), &wrong), None, "{wrong}");
        }
        let other = Env {
            identity: Arc::new(Identity {
                server_name: "test.example".try_into().unwrap(),
                signer: Signer::from_seed("1", &[8; 32]).unwrap(),
            }),
            ..at(5)
        };
        assert_eq!(read_nonce(&other, &nonce), None);
    }
}

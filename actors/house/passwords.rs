//! Password hashes: Argon2id for new ones, bcrypt for imported ones. Slow by design: never call these on a runtime's thread.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};

use crate::env::Env;

/// What is verified when there is nothing to verify, so that an unknown user costs what a known one costs.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$2RgzcmAyRVI1Yg2ZCz4F5gFBpJ5vVT1CBnnMwRnMVxs";

/// A new hash as PHC string.
pub(super) fn hash(password: &str, env: &Env) -> Result<String, String> {
    let salt: [u8; 16] = env.random_bytes();
    Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// Whether the password fits the hash; with no hash it never does, and takes as long.
pub(super) fn verify(password: &str, hash: Option<&str>) -> bool {
    let stored = hash.unwrap_or(NOBODY);
    let fits = if stored.starts_with("$2") {
        bcrypt::verify(password, stored).unwrap_or(false)
    } else {
        PasswordHash::new(stored).is_ok_and(|parsed| {
            Argon2::default()
                .verify_password(password.as_bytes(), &parsed)
                .is_ok()
        })
    };
    fits && hash.is_some()
}

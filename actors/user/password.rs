//! Passwords: Argon2id for new ones, bcrypt for imported ones.
//!
//! Hashing takes memory and tens of milliseconds on purpose, so it runs on blocking threads, few at a time: a storm of logins waits, and beyond a bound
//! is turned away, instead of taking all memory.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use tokio::sync::Semaphore;

use crate::env::Env;

/// Longer passwords are refused: hashing must not be a way to keep the server busy.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// How passwords are hashed. The defaults follow OWASP's advice for Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Memory for one hash, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Hashes computed at the same time.
    pub concurrent_max: usize,
    /// Hashes that may wait for their turn.
    pub waiting_max: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
            lanes: 1,
            concurrent_max: 4,
            waiting_max: 1_000,
        }
    }
}

/// Why a password could not be hashed or checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// More than 512 bytes.
    #[error("password is too long")]
    TooLong,
    /// Too many wait already.
    #[error("too many logins wait")]
    Overloaded,
    /// The settings, or the stored hash, are of no use.
    #[error("{0}")]
    Unusable(String),
}

/// Hashes and checks passwords, so many at a time.
#[derive(Clone)]
pub struct Passwords {
    params: Params,
    /// Those that are computed, and those that wait too.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// Checked when there is no account, so that the time an answer takes does not tell which accounts exist.
    decoy: Arc<str>,
}

/// A PHC string that no password fits and that takes as long to check as a real one. Written, not computed: a server that starts must not hash for it.
fn decoy(params: &Params, env: &Env) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    let salt = STANDARD_NO_PAD.encode(env.random_bytes::<16>());
    let hash = STANDARD_NO_PAD.encode(env.random_bytes::<32>());
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
}

/// Imported hashes may not ask for more memory than this, KiB.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Nor for more work than this: memory times passes, KiB.
const WORK_KIB_MAX: u64 = 2 * 1024 * 1024;
/// Bcrypt hashes may not ask for more rounds than two to this.
const BCRYPT_COST_MAX: u32 = 16;

impl Passwords {
    /// Refuses settings that Argon2 refuses.
    pub fn new(settings: PasswordSettings, env: &Env) -> Result<Self, PasswordError> {
        let params = Params::new(settings.memory_kib, settings.passes, settings.lanes, None)
            .map_err(unusable)?;
        let running = settings.concurrent_max.max(1);
        let decoy = decoy(&params, env);
        Ok(Self {
            params,
            admitted: Arc::new(Semaphore::new(running + settings.waiting_max)),
            running: Arc::new(Semaphore::new(running)),
            decoy: decoy.into(),
        })
    }

    /// The PHC string of a new password.
    pub async fn hash(&self, password: String, env: &Env) -> Result<String, PasswordError> {
        check_length(&password)?;
        let salt = env.random_bytes();
        let params = self.params.clone();
        self.run(move || hash_now(&params, &password, &salt)).await
    }

    /// Whether a password belongs to a stored hash. Without a hash the answer is no, and takes as long.
    pub async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        check_length(&password)?;
        let decoy = self.decoy.clone();
        self.run(move || match hash {
            Some(hash) => verify_now(&password, &hash),
            None => verify_now(&password, &decoy).map(|_| false),
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let Ok(admitted) = self.admitted.clone().try_acquire_owned() else {
            return Err(PasswordError::Overloaded);
        };
        let Ok(running) = self.running.clone().acquire_owned().await else {
            return Err(PasswordError::Overloaded);
        };
        // The permits go with the work: a caller who gives up does not make room before the memory is free.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((running, admitted));
            result
        });
        task.await.map_err(|error| unusable(&error))?
    }
}

fn check_length(password: &str) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    Ok(())
}

fn hash_now(params: &Params, password: &str, salt: &[u8; 16]) -> Result<String, PasswordError> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_with_salt(password.as_bytes(), salt)
        .map(|hash| hash.to_string())
        .map_err(unusable)
}

fn verify_now(password: &str, hash: &str) -> Result<bool, PasswordError> {
    if ["$2a$", "$2b$", "$2y$"]
        .iter()
        .any(|prefix| hash.starts_with(prefix))
    {
        let parts: bcrypt::HashParts = hash.parse().map_err(unusable)?;
        if parts.get_cost() > BCRYPT_COST_MAX {
            return Err(PasswordError::Unusable(
                "bcrypt cost is too high".to_owned(),
            ));
        }
        return bcrypt::verify(password, hash).map_err(unusable);
    }
    let hash = PasswordHash::new(hash).map_err(unusable)?;
    let params = Params::try_from(&hash).map_err(unusable)?;
    let work_kib = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > MEMORY_KIB_MAX || work_kib > WORK_KIB_MAX {
        return Err(PasswordError::Unusable(
            "argon2 cost is too high".to_owned(),
        ));
    }
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(unusable(error)),
    }
}

fn unusable(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Unusable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::trial, *};

    fn passwords(concurrent_max: usize, waiting_max: usize) -> Passwords {
        let settings = PasswordSettings {
            memory_kib: 64,
            passes: 1,
            lanes: 1,
            concurrent_max,
            waiting_max,
        };
        Passwords::new(settings, &trial::env()).unwrap()
    }

    #[tokio::test]
    async fn a_hash_knows_its_password() {
        let passwords = passwords(2, 10);
        let hash = passwords
            .hash("secret".to_owned(), &trial::env())
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        let verify = |password: &str, hash: Option<&str>| {
            passwords.verify(password.to_owned(), hash.map(str::to_owned))
        };
        assert_eq!(verify("secret", Some(&hash)).await, Ok(true));
        assert_eq!(verify("Secret", Some(&hash)).await, Ok(false));
        assert_eq!(verify("secret", None).await, Ok(false));
        assert!(verify("secret", Some("plain")).await.is_err());
        assert_eq!(
            verify(&"x".repeat(513), Some(&hash)).await,
            Err(PasswordError::TooLong)
        );
    }

    #[tokio::test]
    async fn bcrypt_of_every_dialect_is_accepted() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let passwords = passwords(2, 10);
        for dialect in ["$2a$", "$2b$", "$2y$"] {
            let hash = format!("{dialect}{}", &hash[4..]);
            let verify = |password: &str| passwords.verify(password.to_owned(), Some(hash.clone()));
            assert_eq!(verify("secret").await, Ok(true), "{dialect}");
            assert_eq!(verify("other").await, Ok(false), "{dialect}");
        }
        let dear = format!("$2b$31${}", &hash[7..]);
        assert!(
            passwords
                .verify("secret".to_owned(), Some(dear))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_storm_is_turned_away() {
        let passwords = passwords(1, 1);
        let running = passwords.running.clone().acquire_owned().await.unwrap();
        let env = trial::env();
        let first = passwords.admitted.clone().acquire_owned().await.unwrap();
        let second = passwords.admitted.clone().acquire_owned().await.unwrap();
        let third = passwords.hash("secret".to_owned(), &env).await;
        assert_eq!(third, Err(PasswordError::Overloaded));
        drop((running, first, second));
        assert!(passwords.hash("secret".to_owned(), &env).await.is_ok());
    }
}

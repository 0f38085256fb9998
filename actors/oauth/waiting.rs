//! Devices without a browser that wait until their user lets them in (RFC 8628). Volatile: after a restart such a device begins again.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq as _;

use super::message::{DeviceCodes, DeviceWish, OauthError, Progress};
use crate::env::Env;

/// So many may wait.
const WAITING_MAX: usize = 5_000;

/// A device waits so long at most.
const LIFETIME_MS: u64 = 15 * 60 * 1000;

/// A device asks not more often than this.
const INTERVAL_MS: u64 = 5_000;

/// What a user types: letters that are told apart easily and make no words.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The devices that wait, by the code that the user types.
#[derive(Debug, Default)]
pub struct Waiting(BTreeMap<String, Device>);

#[derive(Debug)]
struct Device {
    secret: String,
    wish: DeviceWish,
    until_ms: u64,
    asked_ms: Option<u64>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Open,
    Denied,
    Admitted(String),
}

impl Waiting {
    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn begin(&mut self, wish: DeviceWish, env: &Env) -> Result<DeviceCodes, OauthError> {
        self.forget_old(env.now_ms());
        if self.0.len() >= WAITING_MAX {
            return Err(OauthError::TooMany);
        }
        let mut user_code = make_user_code(env);
        while self.0.contains_key(&user_code) {
            user_code = make_user_code(env);
        }
        let secret = env.random_string(32);
        let codes = DeviceCodes {
            device_code: format!("phd_{user_code}_{secret}"),
            user_code: user_code.clone(),
            lifetime_ms: LIFETIME_MS,
            interval_ms: INTERVAL_MS,
        };
        let device = Device {
            secret,
            wish,
            until_ms: env.now_ms() + LIFETIME_MS,
            asked_ms: None,
            outcome: Outcome::Open,
        };
        self.0.insert(user_code, device);
        Ok(codes)
    }

    /// What a device that nobody has decided upon asks for.
    pub(super) fn wish(&mut self, typed: &str, now_ms: u64) -> Option<DeviceWish> {
        self.forget_old(now_ms);
        let device = self.0.get(&as_made(typed)?)?;
        matches!(device.outcome, Outcome::Open).then(|| device.wish.clone())
    }

    pub(super) fn settle(&mut self, typed: &str, code: Option<String>, now_ms: u64) -> bool {
        self.forget_old(now_ms);
        let Some(device) = as_made(typed).and_then(|user_code| self.0.get_mut(&user_code)) else {
            return false;
        };
        if !matches!(device.outcome, Outcome::Open) {
            return false;
        }
        device.outcome = code.map_or(Outcome::Denied, Outcome::Admitted);
        true
    }

    pub(super) fn poll(&mut self, device_code: &str, client_id: &str, now_ms: u64) -> Progress {
        self.forget_old(now_ms);
        let Some((user_code, secret)) = device_code
            .strip_prefix("phd_")
            .and_then(|codes| codes.split_once('_'))
        else {
            return Progress::Gone;
        };
        let device = self.0.get_mut(user_code);
        let known = device.filter(|device| {
            device.wish.client_id == client_id
                && bool::from(device.secret.as_bytes().ct_eq(secret.as_bytes()))
        });
        let Some(device) = known else {
            return Progress::Gone;
        };
        let too_fast = device
            .asked_ms
            .is_some_and(|asked_ms| now_ms < asked_ms + INTERVAL_MS);
        match &device.outcome {
            Outcome::Open if too_fast => Progress::TooFast,
            Outcome::Open => {
                device.asked_ms = Some(now_ms);
                Progress::Waiting
            }
            Outcome::Denied => {
                self.0.remove(user_code);
                Progress::Denied
            }
            Outcome::Admitted(code) => {
                let code = code.clone();
                self.0.remove(user_code);
                Progress::Admitted(code)
            }
        }
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.0.retain(|_, device| now_ms < device.until_ms);
    }
}

fn make_user_code(env: &Env) -> String {
    // 240 is the largest multiple of 20 that a byte holds: beyond it letters would not be equally likely.
    let mut letters = String::with_capacity(9);
    while letters.len() < 9 {
        let [byte] = env.random_bytes::<1>();
        if byte < 240 {
            letters.push(char::from(LETTERS[usize::from(byte % 20)]));
        }
        if letters.len() == 4 {
            letters.push('-');
        }
    }
    letters
}

/// What the user typed, as it was made: without spaces, in capitals, with the hyphen.
fn as_made(typed: &str) -> Option<String> {
    let letters: String = typed
        .chars()
        .filter(char::is_ascii_alphabetic)
        .take(9)
        .collect();
    let letters = letters.to_ascii_uppercase();
    (letters.len() == 8).then(|| format!("{}-{}", &letters[..4], &letters[4..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::testing;

    fn wish() -> DeviceWish {
        DeviceWish {
            client_id: "client".to_owned(),
            scope: "scope".to_owned(),
        }
    }

    #[test]
    fn a_device_waits_until_its_user_decides() {
        let env = testing::env();
        let now_ms = env.now_ms();
        let mut waiting = Waiting::default();
        let codes = waiting.begin(wish(), &env).expect("room for one");
        let poll = |waiting: &mut Waiting, at_ms| waiting.poll(&codes.device_code, "client", at_ms);
        assert_eq!(poll(&mut waiting, now_ms), Progress::Waiting);
        assert_eq!(poll(&mut waiting, now_ms + 1), Progress::TooFast);
        let typed = codes.user_code.to_lowercase().replace('-', " ");
        assert_eq!(waiting.wish(&typed, now_ms), Some(wish()));
        assert!(waiting.settle(&typed, Some("code".to_owned()), now_ms));
        assert!(!waiting.settle(&typed, None, now_ms));
        let other = waiting.poll(&codes.device_code, "other", now_ms);
        assert_eq!(other, Progress::Gone);
        let admitted = Progress::Admitted("code".to_owned());
        assert_eq!(poll(&mut waiting, now_ms + 2), admitted);
        assert_eq!(poll(&mut waiting, now_ms + 3), Progress::Gone);
        assert!(waiting.is_empty());
    }

    #[test]
    fn who_waits_too_long_is_gone_and_there_is_a_bound() {
        let env = testing::env();
        let mut waiting = Waiting::default();
        for _ in 0..WAITING_MAX {
            waiting.begin(wish(), &env).expect("room for more");
        }
        assert_eq!(waiting.begin(wish(), &env), Err(OauthError::TooMany));
        assert_eq!(waiting.wish("", env.now_ms() + LIFETIME_MS), None);
        assert!(waiting.is_empty());
    }
}

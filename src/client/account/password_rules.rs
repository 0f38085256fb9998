//! What passwords must be like.

use ruma::api::error::ErrorCode;
use serde_json::{Value, json};

use crate::{
    config::Registration,
    edge::{App, Failure},
};

/// The longest password that is looked at: hashing takes longer the longer it is.
const BYTES_MAX: usize = 4_096;

/// A rule: its name for clients, whether it holds, what a password needs, and how that is seen.
type Rule = (&'static str, bool, &'static str, fn(char) -> bool);

fn rules(policy: &Registration) -> [Rule; 4] {
    [
        (
            "m.require_digit",
            policy.password_digit,
            "a digit",
            char::is_numeric,
        ),
        (
            "m.require_symbol",
            policy.password_symbol,
            "a character that is neither letter nor digit",
            |character| !character.is_alphanumeric(),
        ),
        (
            "m.require_lowercase",
            policy.password_lowercase,
            "a small letter",
            char::is_lowercase,
        ),
        (
            "m.require_uppercase",
            policy.password_uppercase,
            "a capital letter",
            char::is_uppercase,
        ),
    ]
}

/// Refuses a password that is not as the operator wants it: `M_WEAK_PASSWORD`.
pub(crate) fn check(app: &App, password: &str) -> Result<(), Failure> {
    let policy = &app.config.registration;
    let weak = |message: String| Err(Failure::new(ErrorCode::WeakPassword, message));
    let length_min = policy.password_length_min;
    if (password.chars().count() as u64) < length_min {
        return weak(format!("a password has at least {length_min} characters"));
    }
    if password.len() > BYTES_MAX {
        return weak("this password is too long".to_owned());
    }
    for (_, holds, what, is_it) in rules(policy) {
        if holds && !password.chars().any(is_it) {
            return weak(format!("a password has {what}"));
        }
    }
    Ok(())
}

/// The rules as clients are told of them (MSC2000).
pub(crate) fn told(policy: &Registration) -> Value {
    let mut told = json!({"m.minimum_length": policy.password_length_min});
    for (name, holds, ..) in rules(policy) {
        if holds {
            told[name] = json!(true);
        }
    }
    told
}

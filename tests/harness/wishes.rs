//! What is wished of a run of the test program: numbers in the environment.

use std::str::FromStr;

/// The number in a variable; `None` where there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "the test program has no configuration of its own"
)]
pub(crate) fn wish<T: FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

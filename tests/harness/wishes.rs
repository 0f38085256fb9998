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

/// So many nodes a server of the tests is made of: `PLAYHOUSE_TEST_NODES`.
pub(crate) fn nodes_wished() -> usize {
    wish("PLAYHOUSE_TEST_NODES").unwrap_or(1).max(1)
}

/// Whether this test cannot be passed by several nodes while several are wished for; then it says why, and the test returns.
#[expect(
    clippy::print_stdout,
    reason = "who runs the tests should know what was not tested"
)]
pub(crate) fn only_alone(why: &str) -> bool {
    let is_skipped = nodes_wished() > 1;
    if is_skipped {
        let thread = std::thread::current();
        println!("skipped: {}: {why}", thread.name().unwrap_or("a test"));
    }
    is_skipped
}

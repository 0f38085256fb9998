//! What is wished of a run of the test program, in the environment.

use std::str::FromStr;

/// The number or the word in a variable; `None` where there is none.
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

/// Whether PostgreSQL waits for the disk, as where something is measured: `PLAYHOUSE_TEST_FSYNC=on`.
pub(crate) fn is_durable() -> bool {
    wish::<String>("PLAYHOUSE_TEST_FSYNC").is_some_and(|wished| wished == "on")
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

//! What tests stand on: real servers, real databases, a small client.

pub mod client;
pub mod database;
pub mod server;

pub use client::Client;
pub use database::Database;
pub use server::{Options, TestServer};

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// The longest that a test waits for something that must happen.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until a condition holds; fails the test with `what` when it never does.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

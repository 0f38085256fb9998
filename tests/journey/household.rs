//! Two people with two devices each, by matrix-js-sdk with its Rust crypto: cross-signing, verification, key backup, threads, edits, reactions, and a
//! thousand encrypted messages while the server is killed ten times.

use super::story::{js_sdk, tell};

const MESSAGES: u32 = 1_000;
const KILLS: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_everything() {
    let arguments = [MESSAGES.to_string(), KILLS.to_string()];
    let end = tell(&mut js_sdk("household.mjs"), &arguments, "HOUSEHOLD OK").await;
    println!("{end}");
}

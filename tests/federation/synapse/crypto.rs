//! A real client on each side, and nothing readable between them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::Pair;

#[tokio::test(flavor = "multi_thread")]
async fn secrets_cross() {
    let pair = Pair::shared().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("target/tools/python/bin/python"))
        .arg(root.join("tests/federation/synapse/crypto.py"))
        .args([pair.playhouse.base(), &pair.synapse.base()])
        .env("PYTHONPATH", root.join("tests/journey"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("the client runs: `ops/ci/test` installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(said.ends_with("SECRETS OK\n"), "{said}{told}");
}

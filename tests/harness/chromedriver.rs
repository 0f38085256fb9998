//! How chromedriver is spoken to: where it listens, and what it is asked for.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Child,
    sync::mpsc,
};

use serde_json::{Value, json};

use super::chromium::DEADLINE;

/// Where the driver says that it listens.
pub(super) fn address(driver: &mut Child) -> String {
    let output = driver.stdout.take().expect("standard output is piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                let _ = sender.send(port.trim_end_matches('.').to_owned());
            }
        }
    });
    let port = receiver.recv_timeout(DEADLINE);
    format!(
        "http://127.0.0.1:{}",
        port.expect("chromedriver says where it listens")
    )
}

/// The browser that is asked for.
pub(super) fn wish(language: &str, profile: &Path) -> Value {
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &format!("--accept-lang={language}"),
        &format!("--user-data-dir={}", profile.display()),
    ];
    json!({"capabilities": {"alwaysMatch": {
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"args": arguments},
    }}})
}

//! Questions to other servers, with typed answers.

use std::time::Duration;

use bytes::Bytes;
use ruma::ServerName;
use serde::{Serialize, de::DeserializeOwned};

use super::{House, aside::aside};
use crate::network::{PeerError, PeerMethod, PeerRequest};

/// An answer of so many bytes takes milliseconds to read, for which others do not wait.
const READ_ASIDE_FROM: usize = 1 << 20;

/// How a question is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The answer must be here after this time.
    pub(super) within: Duration,
    /// And be no larger.
    pub(super) bytes_max: u64,
}

impl Patience {
    /// For one event, whatever its `unsigned` part says.
    pub(super) const EVENT: Self = Self {
        within: Duration::from_secs(15),
        bytes_max: 256 * 1024,
    };
    /// For a few events.
    pub(super) const SHORT: Self = Self {
        within: Duration::from_secs(15),
        bytes_max: 10 * 1024 * 1024,
    };
    /// For the IDs of a whole state: those of 300,000 events.
    pub(super) const IDS: Self = Self {
        within: Duration::from_secs(60),
        bytes_max: 16 * 1024 * 1024,
    };
    /// For what authorises one event.
    pub(super) const CHAIN: Self = Self {
        within: Duration::from_secs(60),
        bytes_max: 32 * 1024 * 1024,
    };
    /// For a whole state that another server makes this one ask for: events grow to several times their size while they are checked.
    pub(super) const STATE: Self = Self {
        within: Duration::from_secs(180),
        bytes_max: 128 * 1024 * 1024,
    };
    /// For the whole state of a room into which a user of this server goes.
    pub(super) const LONG: Self = Self {
        within: Duration::from_secs(180),
        bytes_max: 512 * 1024 * 1024,
    };
}

impl House {
    /// Asks by GET.
    pub(super) async fn ask_peer<T: DeserializeOwned + Send + 'static>(
        &self,
        server: &ServerName,
        path: String,
        patience: Patience,
    ) -> Result<T, PeerError> {
        self.request(server, (PeerMethod::Get, path), None, patience)
            .await
    }

    /// Sends something by PUT or POST.
    pub(super) async fn tell_peer<T: DeserializeOwned + Send + 'static>(
        &self,
        server: &ServerName,
        (method, path): (PeerMethod, String),
        body: &impl Serialize,
        patience: Patience,
    ) -> Result<T, PeerError> {
        let body =
            serde_json::to_vec(body).map_err(|error| PeerError::Nonsense(error.to_string()))?;
        self.request(server, (method, path), Some(body.into()), patience)
            .await
    }

    async fn request<T: DeserializeOwned + Send + 'static>(
        &self,
        server: &ServerName,
        (method, path): (PeerMethod, String),
        body: Option<Bytes>,
        patience: Patience,
    ) -> Result<T, PeerError> {
        let request = PeerRequest {
            destination: server.to_owned(),
            method,
            path,
            body,
            within: patience.within,
            answer_bytes_max: patience.bytes_max,
        };
        let answer = self.env.network.ask(request).await?;
        let nonsense = |error: serde_json::Error| PeerError::Nonsense(error.to_string());
        if answer.len() < READ_ASIDE_FROM {
            return serde_json::from_slice(&answer).map_err(nonsense);
        }
        let read = aside(move || serde_json::from_slice(&answer).map_err(nonsense)).await;
        read.unwrap_or_else(|| Err(PeerError::Nonsense("it cannot be read".into())))
    }
}

/// A segment of a path, percent-encoded.
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

//! What is written of how an account stands with this server.

use serde::{Deserialize, Serialize};

/// A bound of one user's own on how fast requests come, in place of the one for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateOverride {
    /// So many events a second; 0 is no bound at all.
    pub per_second: u32,
    /// So many at once.
    pub burst: u32,
}

/// Somebody accepted the terms of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermsAccepted {
    /// Of which version.
    pub version: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

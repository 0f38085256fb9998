//! Records of the OAuth clients that registered here (client-server API, "Client registration").

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to OAuth clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OauthRecord {
    /// A client registered.
    #[serde(rename = "r")]
    ClientRegistered(ClientRegistered),
    /// A user let a client in for the first time: it is kept from now on.
    #[serde(rename = "a")]
    ClientAdmitted(String),
    /// Clients that nobody used were forgotten.
    #[serde(rename = "f")]
    ClientsForgotten(Vec<String>),
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRegistered {
    /// Its ID.
    pub client_id: String,
    /// What it said of itself, as far as it is kept: a JSON object.
    pub metadata: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for OauthRecord {
    fn kind(&self) -> Kind {
        match self {
            OauthRecord::ClientRegistered(_) => 440,
            OauthRecord::ClientAdmitted(_) => 441,
            OauthRecord::ClientsForgotten(_) => 442,
        }
    }
}

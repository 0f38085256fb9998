//! `[oauth]`: logging in through the browser.

use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

section! {
    /// The OAuth 2.0 API: clients send their users to pages of this server, on which they log in, register and manage their account.
    "oauth" Oauth {
        /// It is offered. It needs [server] client_url, unless clients reach this server on their own machine.
        enabled: bool = true;
        /// Clients of the older API are led to the same pages: `GET /login` tells them of `m.login.sso`, with the mark (`oauth_aware_preferred`) by which clients that know of OAuth offer nothing else, and `/login/sso/redirect` leads to the page on which one signs in. When it is off, there is `m.login.sso` only for the systems of [sso], without the mark.
        legacy_login: bool = true;
        /// A browser that logged in stays so for so long, milliseconds.
        browser_lifetime_ms: u64 = 3_600_000;
        /// Services that may ask whether an access token is good and whose it is (RFC 7662), each `{ client_id, client_secret }`. Without one there is no introspection.
        introspection_clients: Vec<IntrospectionClient> = Vec::new();
    }
}

/// A service that may ask about access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionClient {
    /// Its name.
    pub client_id: String,
    /// Its secret: a long random text.
    pub client_secret: String,
}

impl Setting for Vec<IntrospectionClient> {
    const FORM: Form = Form::Tables;
}

impl Oauth {
    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<String> {
        let clients = &self.introspection_clients;
        for (place, client) in clients.iter().enumerate() {
            let id = &client.client_id;
            if id.is_empty() || client.client_secret.len() < 16 {
                return Some(format!("`{id}` needs a name and a secret of 16 characters"));
            }
            if clients[..place].iter().any(|other| other.client_id == *id) {
                return Some(format!("two clients are called `{id}`"));
            }
        }
        None
    }
}

//! `[sso]`: logging in by an account at another system.

use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

section! {
    /// Single sign-on: users log in by an account at another system (OpenID Connect).
    "sso" Sso {
        /// The systems, each `{ id, name, issuer, client_id, client_secret, scopes, localpart_claim, display_name_claim, allow_existing_users, pick_username, icon, brand }`; all from `scopes` on may be left out. There, `/_synapse/client/oidc/callback` of this server must be allowed as a redirect address.
        providers: Vec<Provider> = Vec::new();
        /// Beginnings of client addresses to which users are sent back without being asked.
        client_whitelist: Vec<String> = Vec::new(), sample "[\"https://app.example.org/\"]";
    }
}

/// A system at which users have accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its ID: letters, digits, `-`, `_`, `.` and `~`. It stands in every link from an account here to one there, so it must not change.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its address, below which `/.well-known/openid-configuration` is found.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Our secret there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What is asked for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim from which the local part of the user ID is made.
    #[serde(default = "localpart_claim")]
    pub localpart_claim: String,
    /// The claim with the display name.
    #[serde(default = "display_name_claim")]
    pub display_name_claim: String,
    /// Who comes for the first time, and whose local part is taken here, gets that account: only for systems that give a name to one person for ever.
    #[serde(default)]
    pub allow_existing_users: bool,
    /// Who comes for the first time is asked for a user name, even when the system tells one.
    #[serde(default)]
    pub pick_username: bool,
    /// An image for clients, `mxc://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// How clients shall present it: `google`, `gitlab` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
}

fn scopes() -> Vec<String> {
    vec!["openid".to_owned(), "profile".to_owned()]
}

fn localpart_claim() -> String {
    "preferred_username".to_owned()
}

fn display_name_claim() -> String {
    "name".to_owned()
}

impl Setting for Vec<Provider> {
    const FORM: Form = Form::Tables;
}

impl Sso {
    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<String> {
        for (place, provider) in self.providers.iter().enumerate() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let id = &provider.id;
            if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
                return Some(format!("`{id}` is no ID of a provider"));
            }
            if self.providers[..place].iter().any(|other| other.id == *id) {
                return Some(format!("two providers are called `{id}`"));
            }
            let issuer = &provider.issuer;
            if !issuer.starts_with("https://") && !issuer.starts_with("http://") {
                return Some(format!("{id}: issuer `{issuer}` must begin with https://"));
            }
        }
        None
    }
}

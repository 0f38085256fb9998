//! `[sso]`: logging in by an account at another system.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    section::{Form, Setting, section},
    template::Template,
};

section! {
    /// Single sign-on: users log in by an account at another system (OpenID Connect, CAS, SAML 2.0).
    "sso" Sso {
        /// The systems. Each has `id`, `name`, `issuer` and, if it likes, `kind` (`oidc`, `cas` or `saml`; without it `oidc`), `subject_claim`, `localpart_claim`, `display_name_claim`, `localpart_template`, `display_name_template`, `email_template`, `required_claims = { name = "value" }`, `allow_registration`, `allow_existing_users`, `pick_username`, `icon`, `brand`.
        /// Templates put claims together, as in `localpart_template = "{given_name}.{family_name}"`, and go before the single claims. When a claim is missing there is no proposal, and who comes for the first time picks a user name. Of `email_template` (often `"{email}"`) the account gets the address; that is for providers which prove addresses.
        /// OpenID Connect: `client_id`, `client_secret`, `scopes`. There, `/_synapse/client/oidc/callback` of this server must be allowed as a redirect address; `/_synapse/client/oidc/backchannel_logout` is where it may tell that somebody logged out.
        /// CAS: `issuer` is the server's address, `cas_protocol` 3 or 2. There, `/_matrix/client/v3/login/cas/ticket` of this server must be allowed as a service.
        /// SAML: `issuer` is its entity ID, `sso_url` where browsers are sent, `certificates` a PEM file (or PEM text) with what it signs by. `/_synapse/client/saml2/metadata.xml` tells it of this server, `/_synapse/client/saml2/authn_response` takes its answers. It must sign its answers or the assertions in them, by RSA or P-256 with SHA-256 or better, and not encrypt them.
        providers: Vec<Provider> = Vec::new();
        /// Beginnings of client addresses to which users are sent back without being asked.
        client_whitelist: Vec<String> = Vec::new(), sample "[\"https://app.example.org/\"]";
    }
}

/// How another system is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenID Connect.
    #[default]
    Oidc,
    /// CAS, protocol 2 or 3.
    Cas,
    /// SAML 2.0, "Web Browser SSO Profile".
    Saml,
}

/// A system at which users have accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its ID: letters, digits, `-`, `_`, `.` and `~`. It stands in every link from an account here to one there, so it must not change.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// How it is spoken to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: ProviderKind,
    /// Its address, below which `/.well-known/openid-configuration` or `/login` is found; of SAML its entity ID.
    pub issuer: String,
    /// Our name there (OpenID Connect).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_id: String,
    /// Our secret there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What is asked for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim that tells who somebody is, and never changes. CAS has its user as `sub`, SAML the `NameID`.
    #[serde(default = "subject_claim")]
    pub subject_claim: String,
    /// The claim from which the local part of the user ID is made.
    #[serde(default = "localpart_claim")]
    pub localpart_claim: String,
    /// The claim with the display name.
    #[serde(default = "display_name_claim")]
    pub display_name_claim: String,
    /// The local part of the user ID out of several claims: `{given_name}.{family_name}`. It goes before `localpart_claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localpart_template: Option<Template>,
    /// The display name out of several claims. It goes before `display_name_claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name_template: Option<Template>,
    /// An e-mail address for the account, which the system vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_template: Option<Template>,
    /// Claims without which nobody comes in; an empty value: whatever it says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub required_claims: BTreeMap<String, String>,
    /// Who comes for the first time gets an account. It does not depend on `[registration]`.
    #[serde(default = "yes")]
    pub allow_registration: bool,
    /// The version of the CAS protocol.
    #[serde(default = "cas_protocol")]
    pub cas_protocol: u64,
    /// Where browsers are sent (SAML, HTTP-Redirect binding).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sso_url: Option<String>,
    /// What it signs by (SAML): certificates or public keys, as PEM or the path of a file with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<String>,
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

fn is_default(kind: &ProviderKind) -> bool {
    *kind == ProviderKind::default()
}

fn yes() -> bool {
    true
}

fn cas_protocol() -> u64 {
    3
}

fn subject_claim() -> String {
    "sub".to_owned()
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
            if let Some(problem) = provider.problem() {
                return Some(format!("{id}: {problem}"));
            }
        }
        None
    }
}

impl Provider {
    fn problem(&self) -> Option<String> {
        let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        let issuer = &self.issuer;
        if issuer.is_empty() || (self.kind != ProviderKind::Saml && !is_web(issuer)) {
            return Some(format!("issuer `{issuer}` must begin with https://"));
        }
        match self.kind {
            ProviderKind::Oidc if self.client_id.is_empty() => Some("client_id is missing".into()),
            ProviderKind::Cas if !matches!(self.cas_protocol, 2 | 3) => {
                Some("cas_protocol must be 2 or 3".into())
            }
            ProviderKind::Saml if !self.sso_url.as_deref().is_some_and(is_web) => {
                Some("sso_url must be given and begin with https://".into())
            }
            ProviderKind::Saml if self.certificates.is_none() => {
                Some("certificates are missing: nothing it says could be believed".into())
            }
            _ => None,
        }
    }

    /// An address below the issuer's.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.trim_end_matches('/'))
    }
}

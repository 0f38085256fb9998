//! What a browser carries while it is being recognised elsewhere: sealed by this server, so that any node can go on.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_actors::house::Origin;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    config::ProviderKind,
    edge::{App, Browser, Failure, Prepared},
    pages::Cookie,
};

/// The paths to which the cookies are sent.
const PATHS: &str = "/_synapse/client";

/// The paths to which they are sent when CAS sends browsers back.
const CAS_PATHS: &str = "/_matrix/client/v3/login/cas";

/// A sign-in takes so long at most.
const LIFETIME_S: u64 = 15 * 60;

/// What somebody wants to be recognised for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// To log in: where the client waits.
    Login(String),
    /// To pass a stage of user-interactive authentication: its session.
    Stage(String),
}

/// A sign-in that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) provider: String,
    pub(super) kind: ProviderKind,
    pub(super) purpose: Purpose,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    /// When, milliseconds since the Unix epoch.
    #[serde(default)]
    pub(super) begun_ms: u64,
}

/// Somebody who was recognised and has no account here yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Newcomer {
    pub(super) origin: Origin,
    pub(super) redirect_url: String,
    pub(super) suggested: Option<String>,
    pub(super) displayname: Option<String>,
    /// An address that the provider vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<String>,
    /// The user name, once it is settled.
    pub(super) chosen: Option<String>,
    /// The policies that were accepted, each with its version.
    pub(super) accepted: Vec<String>,
}

impl Begun {
    /// The person is known already and must prove it again.
    pub(super) fn is_again(&self) -> bool {
        matches!(self.purpose, Purpose::Stage(_))
    }
}

/// What a cookie may hold.
pub(super) trait Carried: Serialize + DeserializeOwned {
    /// The cookie.
    const NAME: &'static str;

    /// How the provider sends the browser back that must carry it then.
    fn kind(&self) -> ProviderKind;
}

impl Carried for Begun {
    const NAME: &'static str = "playhouse_sso";

    fn kind(&self) -> ProviderKind {
        self.kind
    }
}

impl Carried for Newcomer {
    const NAME: &'static str = "playhouse_sso_new";

    fn kind(&self) -> ProviderKind {
        ProviderKind::Oidc
    }
}

/// The same answer, with which the browser carries something.
pub(super) fn with<C: Carried>(
    app: &App,
    prepared: Prepared,
    carried: &C,
) -> Result<Prepared, Failure> {
    let json = serde_json::to_vec(carried).map_err(Failure::internal)?;
    let text = URL_SAFE_NO_PAD.encode(json);
    let value = format!("{text}.{}", app.pages.seal(C::NAME, &text));
    let (name, value) = cookie(app, carried, &value).header();
    Ok(prepared.with_header(name, value))
}

/// The same answer, after which the browser carries it no more.
pub(super) fn without<C: Carried>(app: &App, prepared: Prepared, carried: &C) -> Prepared {
    let (name, value) = cookie(app, carried, "").header();
    prepared.with_header(name, value)
}

/// What the browser carries, if this server gave it.
pub(super) fn carried<C: Carried>(app: &App, browser: &Browser) -> Option<C> {
    let (text, seal) = browser.cookie(C::NAME)?.split_once('.')?;
    if !app.pages.is_sealed(seal, C::NAME, text) {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&json).ok()
}

fn cookie<'a, C: Carried>(app: &App, carried: &C, value: &'a str) -> Cookie<'a> {
    let url = app.config.server.client_url.as_deref();
    Cookie {
        name: C::NAME,
        value,
        path: match carried.kind() {
            ProviderKind::Cas => CAS_PATHS,
            ProviderKind::Oidc | ProviderKind::Saml => PATHS,
        },
        lifetime_s: LIFETIME_S,
        secure: url.is_some_and(|url| url.starts_with("https://"))
            || app.config.listen.client_has_tls(),
        cross_site: carried.kind() == ProviderKind::Saml,
    }
}

//! What a browser carries while it is being recognised elsewhere: sealed by this server, so that any node can go on.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::Cookie,
};

/// The paths to which the cookies are sent.
const PATHS: &str = "/_synapse/client";

/// A sign-in takes so long at most.
const LIFETIME_S: u64 = 15 * 60;

/// A sign-in that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) provider: String,
    /// Where the client waits.
    pub(super) redirect_url: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

/// Somebody who was recognised and has no account here yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Newcomer {
    pub(super) provider: String,
    pub(super) subject: String,
    pub(super) redirect_url: String,
    pub(super) suggested: Option<String>,
    pub(super) displayname: Option<String>,
}

/// What a cookie may hold.
pub(super) trait Carried: Serialize + DeserializeOwned {
    /// The cookie.
    const NAME: &'static str;
}

impl Carried for Begun {
    const NAME: &'static str = "playhouse_sso";
}

impl Carried for Newcomer {
    const NAME: &'static str = "playhouse_sso_new";
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
    let (name, value) = cookie::<C>(app, &value).header();
    Ok(prepared.with_header(name, value))
}

/// The same answer, after which the browser carries it no more.
pub(super) fn without<C: Carried>(app: &App, prepared: Prepared) -> Prepared {
    let (name, value) = cookie::<C>(app, "").header();
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

fn cookie<'a, C: Carried>(app: &App, value: &'a str) -> Cookie<'a> {
    let url = app.config.server.client_url.as_deref();
    Cookie {
        name: C::NAME,
        value,
        path: PATHS,
        lifetime_s: LIFETIME_S,
        secure: url.is_some_and(|url| url.starts_with("https://"))
            || app.config.listen.client_tls_cert.is_some(),
    }
}

//! Requests between servers are signed (server-server API, "Request Authentication"): signing what is sent, and judging what comes in.

use playhouse_actors::{
    env::Env,
    network::{KeysWanted, PeerRequest},
};
use ruma::{
    OwnedServerName, ServerName,
    api::federation::authentication::XMatrix,
    serde::Base64,
    signatures::{KeyPair as _, verify_canonical_json_bytes},
};

use super::canonical::{NotJson, canonical, quoted};

/// A request has at most so many signatures that are looked at.
const SIGNATURES_MAX: usize = 8;

/// A request that came in, as far as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    /// The HTTP method in capitals.
    pub(crate) method: &'a str,
    /// Path and query exactly as they were asked for.
    pub(crate) uri: &'a str,
    /// All `Authorization` headers.
    pub(crate) authorization: &'a [&'a str],
    /// The body; `None` when there is none.
    pub(crate) body: Option<&'a [u8]>,
}

/// Why a request is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unbelieved {
    /// There is no signature.
    #[error("the request is not signed")]
    Missing,
    /// A header cannot be read.
    #[error("the authorization header cannot be read: {0}")]
    Malformed(String),
    /// It is for another server.
    #[error("the request is meant for another server")]
    NotForUs,
    /// It claims to be from us.
    #[error("the request claims to be from this server")]
    FromUs,
    /// The body is not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// The keys that signed it are not to be found, or not valid any more.
    #[error("the keys of {0} cannot be found")]
    NoKey(OwnedServerName),
    /// No signature fits.
    #[error("the signature of {0} is wrong")]
    Forged(OwnedServerName),
}

/// The bytes that are signed.
fn signed_text(
    (method, uri): (&str, &str),
    (origin, destination): (&ServerName, &ServerName),
    content: Option<&str>,
) -> String {
    let content = content.map_or_else(String::new, |content| format!("\"content\":{content},"));
    format!(
        "{{{content}\"destination\":{},\"method\":{},\"origin\":{},\"uri\":{}}}",
        quoted(destination.as_str()),
        quoted(method),
        quoted(origin.as_str()),
        quoted(uri),
    )
}

/// The `Authorization` header of a request to another server, and its body in the form that was signed.
pub(crate) fn sign(env: &Env, request: &PeerRequest) -> Result<(String, Option<String>), NotJson> {
    let body = request.body.as_deref().map(canonical).transpose()?;
    let (origin, destination) = (env.server_name(), &request.destination);
    let what = (request.method.as_str(), request.path.as_str());
    let text = signed_text(what, (origin, destination), body.as_deref());
    let signature = env.identity.signer.sign(text.as_bytes());
    let header = format!(
        "X-Matrix origin=\"{origin}\",destination=\"{destination}\",key=\"{}\",sig=\"{}\"",
        signature.id(),
        signature.base64(),
    );
    Ok((header, body.map(std::borrow::Cow::into_owned)))
}

/// The server from which a request says that it comes.
pub(crate) fn claimed(authorization: &[&str]) -> Result<OwnedServerName, Unbelieved> {
    let claims = claims(authorization)?.into_iter();
    let mut origins = claims.map(|claim| claim.origin);
    origins.next().ok_or(Unbelieved::Missing)
}

/// Judges a request that came in: which server sent it. Asks the network for keys.
pub(crate) async fn authenticate(
    env: &Env,
    request: &Signed<'_>,
) -> Result<OwnedServerName, Unbelieved> {
    let us = env.server_name();
    let claims = claims(request.authorization)?;
    let origin = claims.first().ok_or(Unbelieved::Missing)?.origin.clone();
    for claim in &claims {
        if claim.destination.as_deref().is_some_and(|them| them != us) {
            return Err(Unbelieved::NotForUs);
        }
        if claim.origin != origin {
            let all = "signatures of several servers".to_owned();
            return Err(Unbelieved::Malformed(all));
        }
    }
    if origin == us {
        return Err(Unbelieved::FromUs);
    }
    let body = request.body.filter(|body| !body.is_empty());
    let content = body.map(canonical).transpose();
    let content = content.map_err(|NotJson| Unbelieved::NotJson)?;
    let what = (request.method, request.uri);
    let text = signed_text(what, (&origin, us), content.as_deref());
    let now_ms = env.now_ms();
    let ids = claims.iter().map(|claim| (claim.key.to_string(), now_ms));
    let wanted = KeysWanted::from([(origin.clone(), ids.collect())]);
    let found = env.network.keys(wanted).await;
    let Some(keys) = found.get(origin.as_str()).filter(|keys| !keys.is_empty()) else {
        return Err(Unbelieved::NoKey(origin));
    };
    let is_right = claims.iter().any(|claim| {
        let key: Option<&Base64> = keys.get(claim.key.as_str());
        key.is_some_and(|key| {
            let (algorithm, signature) = (claim.key.algorithm(), claim.sig.as_bytes());
            verify_canonical_json_bytes(&algorithm, key.as_bytes(), signature, text.as_bytes())
                .is_ok()
        })
    });
    if is_right {
        Ok(origin)
    } else {
        Err(Unbelieved::Forged(origin))
    }
}

/// The signatures in the headers. Headers of other schemes are not ours to judge.
fn claims(headers: &[&str]) -> Result<Vec<XMatrix>, Unbelieved> {
    let ours = headers.iter().filter(|header| {
        let scheme = header.split([' ', '\t']).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(XMatrix::AUTH_SCHEME)
    });
    let mut claims = Vec::new();
    for header in ours.take(SIGNATURES_MAX) {
        let claim = XMatrix::parse(header);
        claims.push(claim.map_err(|error| Unbelieved::Malformed(error.to_string()))?);
    }
    Ok(claims)
}

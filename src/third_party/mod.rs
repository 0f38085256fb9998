//! What proves something about a person outside of Matrix: captchas, e-mail, identity servers; and what bridges say of the networks behind them.
//!
//! Owns how those are spoken to. Must not know what the proof is for.

mod bridges;
mod captcha;
mod identity;
mod mail;
mod msisdn;
mod passwords;
mod ping;
mod spam_check;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use self::{
    bridges::BridgeNetworks, identity::IdentityServers, mail::Mailer, passwords::PasswordProviders,
    spam_check::SpamCheck,
};
pub(crate) use self::{identity::Asking, passwords::Proved, spam_check::Check};
use crate::{
    config::Config,
    outbound::{Client, Trust},
};

/// `m.login.terms`.
pub(crate) const TERMS: &str = "m.login.terms";

/// `m.login.recaptcha`.
pub(crate) const RECAPTCHA: &str = "m.login.recaptcha";

/// What the operator named must answer within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Everything outside that is asked.
pub(crate) struct ThirdParty {
    /// For what the operator named, and so may stand anywhere.
    http: Client,
    /// Mail, once it is configured.
    pub(crate) mailer: Option<Mailer>,
    /// Identity servers that clients name.
    pub(crate) identity: IdentityServers,
    /// Other systems that know passwords.
    pub(crate) passwords: PasswordProviders,
    /// What says what is spam.
    pub(crate) spam_check: SpamCheck,
    /// Networks behind application services.
    pub(crate) bridges: BridgeNetworks,
    /// The identity server that proves phone numbers.
    delegate: Option<String>,
}

impl ThirdParty {
    /// As configured.
    pub(crate) fn new(config: &Config, trust: &Arc<Trust>) -> Result<Self, String> {
        Ok(Self {
            http: Client::for_operators_choice(trust, |builder| builder.timeout(ANSWER_WITHIN)),
            mailer: Mailer::new(config)?,
            identity: IdentityServers::new(config, trust),
            passwords: PasswordProviders::new(config, trust),
            spam_check: SpamCheck::new(config, trust)?,
            bridges: BridgeNetworks::new(trust),
            delegate: config.identity.msisdn_delegate.clone(),
        })
    }
}

/// What clients must know of the stages of user-interactive authentication.
pub(crate) fn stage_params(config: &Config) -> BTreeMap<&'static str, Value> {
    let mut params = BTreeMap::new();
    let policies: serde_json::Map<String, Value> = config
        .consent
        .policies
        .iter()
        .map(|policy| {
            let mut told = json!(policy.texts);
            told["version"] = json!(policy.version);
            (policy.id.clone(), told)
        })
        .collect();
    params.insert(TERMS, json!({ "policies": policies }));
    if let Some(key) = &config.captcha.site_key {
        params.insert(RECAPTCHA, json!({ "public_key": key }));
    }
    params
}

/// A form, or a query, as `application/x-www-form-urlencoded`.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Percent-encodes a path segment or a value of a form or query.
pub(crate) fn encoded(text: &str) -> String {
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

/// A body of bounded size; why not, otherwise.
async fn bounded(mut response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| error.without_url().to_string())?
    {
        if body.len() + piece.len() > bytes_max {
            return Err("the answer is too large".to_owned());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

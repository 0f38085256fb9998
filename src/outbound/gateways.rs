//! Requests to push gateways, which clients name: strangers' choice.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use playhouse_actors::{
    pushers::{Push, PushTaken, PushTrouble},
    trace::TRACEPARENT,
};
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use url::Url;

use super::{AddressRules, Client, Ports, Rules, SystemLookup, Trust};
use crate::{config::Config, federation::USER_AGENT};

/// Where gateways listen.
const NOTIFY_PATH: &str = "/_matrix/push/v1/notify";

/// A connection must stand after this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Of an answer so many keys are read.
const REJECTED_MAX: usize = 100;

/// The way to push gateways.
pub(crate) struct Gateways {
    http: Client,
    rules: Rules,
    plain: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    rejected: Vec<String>,
}

impl Gateways {
    /// As configured.
    pub(crate) fn new(config: &Config, trust: &Arc<Trust>) -> Self {
        let (settings, outbound) = (&config.push, &config.outbound);
        let rules = Rules {
            addresses: AddressRules::new(&settings.allow_networks, &outbound.deny_networks),
            ports: outbound
                .ports
                .iter()
                .filter_map(|ports| Ports::parse(ports))
                .collect(),
            deny_urls: Vec::new(),
        };
        let guarded = (rules.addresses.clone(), Arc::new(SystemLookup) as _);
        let within = Duration::from_millis(settings.answer_timeout_ms);
        let http = Client::for_strangers_choice(trust, guarded, move |builder| {
            builder
                .referer(false)
                .connect_timeout(CONNECT_WITHIN.min(within))
                .timeout(within)
                .user_agent(USER_AGENT)
        });
        Self {
            http,
            rules,
            plain: settings.plain_gateways,
        }
    }

    /// Whether this may be the URL of a push gateway, as far as its spelling tells.
    pub(crate) fn check(&self, url: &str) -> Result<Url, &'static str> {
        let url = Url::parse(url).map_err(|_| "the gateway has no URL")?;
        if url.scheme() != "https" && !self.plain {
            return Err("the gateway is not asked without TLS");
        }
        if url.path() != NOTIFY_PATH || url.query().is_some() || url.fragment().is_some() {
            return Err("the URL is not that of a push gateway");
        }
        match self.rules.check(&url) {
            Ok(()) => Ok(url),
            Err(super::OutboundError::Refused(why)) => Err(why),
            Err(_) => Err("the gateway is not asked"),
        }
    }

    /// Asks a gateway. Nobody is led elsewhere by it: redirects are refused.
    pub(crate) async fn push(&self, push: Push) -> Result<PushTaken, PushTrouble> {
        let url = self.check(&push.url).map_err(trouble)?;
        let request = self
            .http
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(TRACEPARENT, push.trace)
            .body(push.body);
        let response = request.send().await.map_err(|error| trouble(why(&error)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(PushTrouble {
                reason: refusal(status),
                retry_after_ms: retry_after_ms(&response),
            });
        }
        let answer: Answer = serde_json::from_slice(&body(response).await?)
            .map_err(|_| trouble("the gateway answers with nonsense"))?;
        let mut rejected = answer.rejected;
        rejected.truncate(REJECTED_MAX);
        Ok(PushTaken { rejected })
    }
}

/// How long a gateway wants to be left alone (RFC 9110, section 10.2.3): in seconds, or until a date by its own clock.
fn retry_after_ms(response: &Response) -> Option<u64> {
    let told = |name: header::HeaderName| response.headers().get(name)?.to_str().ok();
    let after = told(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = after.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let until = httpdate::parse_http_date(after).ok()?;
    let now = httpdate::parse_http_date(told(header::DATE)?).ok()?;
    let wait = until.duration_since(now).ok()?;
    u64::try_from(wait.as_millis()).ok()
}

fn refusal(status: StatusCode) -> String {
    if status.is_redirection() {
        return format!("the gateway leads elsewhere (status {})", status.as_u16());
    }
    format!("the gateway answers with status {}", status.as_u16())
}

fn trouble(reason: impl Into<String>) -> PushTrouble {
    PushTrouble {
        reason: reason.into(),
        retry_after_ms: None,
    }
}

/// Why there was no answer; never with the URL, which may hold secrets.
fn why(error: &reqwest::Error) -> String {
    match super::reason(error) {
        super::OutboundError::Refused(why) => why.to_owned(),
        other => other.to_string(),
    }
}

/// A body of bounded size.
async fn body(mut response: Response) -> Result<Bytes, PushTrouble> {
    let mut body = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| trouble(why(&error)))?
    {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(trouble("the gateway answers with too much"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(change: impl FnOnce(&mut Config)) -> Gateways {
        let mut config = Config::default();
        change(&mut config);
        Gateways::new(&config, &Arc::default())
    }

    #[test]
    fn only_gateways_are_asked() {
        let gateways = gateways(|_| {});
        let good = "https://push.example.org/_matrix/push/v1/notify";
        assert!(gateways.check(good).is_ok());
        for wrong in [
            "",
            "https://push.example.org/",
            "https://push.example.org/_matrix/push/v1/notify?x=1",
            "https://push.example.org/_matrix/push/v1/notify/..",
            "http://push.example.org/_matrix/push/v1/notify",
            "https://a:b@push.example.org/_matrix/push/v1/notify",
            "https://127.0.0.1/_matrix/push/v1/notify",
            "https://[::ffff:10.0.0.1]/_matrix/push/v1/notify",
            "https://0x7f.1/_matrix/push/v1/notify",
            "https://push.example.org:22/_matrix/push/v1/notify",
        ] {
            assert!(gateways.check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_operator_may_allow_more() {
        let gateways = gateways(|config| {
            config.push.plain_gateways = true;
            config.push.allow_networks = vec!["127.0.0.0/8".to_owned()];
        });
        let near = "http://127.0.0.1:8080/_matrix/push/v1/notify";
        assert!(gateways.check(near).is_ok());
        let other = "http://10.0.0.1:8080/_matrix/push/v1/notify";
        assert!(gateways.check(other).is_err());
    }
}

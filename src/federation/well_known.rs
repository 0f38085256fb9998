//! `/.well-known/matrix/server` of others, remembered for as long as they say and no longer (server-server API, "Resolving server names", step 3).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;
use playhouse_actors::env::Env;
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;
use tokio::time::Instant;

use crate::outbound::{
    AddressRules, Lookup, Outbound, OutboundError, Ports, Rules, Trust, UrlPattern, Wanted,
};

const MINUTE_MS: u64 = 60 * 1_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Good for so long when nothing is said …
const DEFAULT_MS: u64 = 24 * HOUR_MS;

/// … whatever is said no longer than this …
const LONGEST_MS: u64 = 48 * HOUR_MS;

/// … and no shorter than this: a server is asked more often than that.
const SHORTEST_MS: u64 = 5 * MINUTE_MS;

/// After an error it is asked again after this time, then after twice as much, …
const FIRST_PAUSE_MS: u64 = MINUTE_MS;

/// … but after this time at the latest.
const LONGEST_PAUSE_MS: u64 = HOUR_MS;

/// A larger answer is none.
const BYTES_MAX: u64 = 50 * 1024;

/// The answer must be here within this time.
const WITHIN: Duration = Duration::from_secs(10);

/// So many hosts are remembered.
const HOSTS_MAX: usize = 10_000;

/// What hosts said.
pub(super) struct WellKnown {
    env: Env,
    outbound: Outbound,
    port: Option<u16>,
    hosts: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Memory>>>>,
}

/// What is remembered of a host.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    said: Option<OwnedServerName>,
    said_at_ms: u64,
    good_until_ms: u64,
    failures: u32,
}

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// An answer, and for how long it is good.
    Said(OwnedServerName, u64),
    /// There is no usable answer, for certain.
    Nothing,
    /// Nobody knows: the host was not reached.
    Failed,
}

impl Memory {
    fn learn(&mut self, outcome: Outcome, now_ms: u64) {
        match outcome {
            Outcome::Said(name, good_for_ms) => {
                *self = Self {
                    said: Some(name),
                    said_at_ms: now_ms,
                    good_until_ms: now_ms + good_for_ms,
                    failures: 0,
                };
            }
            Outcome::Nothing => {
                *self = Self {
                    good_until_ms: now_ms + LONGEST_PAUSE_MS,
                    ..Self::default()
                };
            }
            Outcome::Failed => {
                let pause_ms = FIRST_PAUSE_MS << self.failures.min(10);
                self.failures += 1;
                self.good_until_ms = now_ms + pause_ms.min(LONGEST_PAUSE_MS);
                // A host that does not answer now still means what it said, for as long as that may be remembered at all.
                if self.said_at_ms + LONGEST_MS < now_ms {
                    self.said = None;
                }
            }
        }
    }
}

impl WellKnown {
    pub(super) fn new(
        env: Env,
        trust: &Arc<Trust>,
        (addresses, lookup): (AddressRules, Arc<dyn Lookup>),
    ) -> Self {
        let rules = Rules {
            addresses,
            ports: Ports::parse("1-65535").into_iter().collect(),
            // Whom a certificate vouches for must not be led astray by somebody without one.
            deny_urls: UrlPattern::parse("http://*").into_iter().collect(),
        };
        Self {
            env,
            outbound: Outbound::new(trust, rules, lookup, super::USER_AGENT),
            port: None,
            hosts: Mutex::default(),
        }
    }

    /// The same, asking another port than that of HTTPS.
    #[cfg(test)]
    pub(super) fn at_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// What a host says, asked now or remembered. Many who ask at once ask once.
    pub(super) async fn delegated(&self, host: &str) -> Option<OwnedServerName> {
        let memory = self.memory(host);
        let mut memory = memory.lock().await;
        if self.env.now_ms() >= memory.good_until_ms {
            let outcome = self.ask(host).await;
            tracing::debug!(host, ?outcome, "asked for delegation");
            memory.learn(outcome, self.env.now_ms());
        }
        memory.said.clone()
    }

    fn memory(&self, host: &str) -> Arc<tokio::sync::Mutex<Memory>> {
        let mut hosts = self.hosts.lock();
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(host) {
            let now_ms = self.env.now_ms();
            let is_good = |memory: &Memory| memory.said.is_some() && memory.good_until_ms > now_ms;
            hosts.retain(|_, memory| memory.try_lock().is_ok_and(|memory| is_good(&memory)));
            if hosts.len() >= HOSTS_MAX {
                hosts.clear();
            }
        }
        hosts.entry(host.to_owned()).or_default().clone()
    }

    async fn ask(&self, host: &str) -> Outcome {
        let port = self
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        let url = format!("https://{host}{port}/.well-known/matrix/server");
        let fetched = match self.outbound.url(&url) {
            Ok(url) => self.fetch(url).await,
            Err(error) => Err(error),
        };
        match fetched {
            Ok(outcome) => outcome,
            Err(OutboundError::Status(500..) | OutboundError::Status(429)) => Outcome::Failed,
            Err(
                OutboundError::Status(_)
                | OutboundError::TooLarge
                | OutboundError::TooManyRedirects
                | OutboundError::Compressed
                | OutboundError::NotAUrl,
            ) => Outcome::Nothing,
            Err(_) => Outcome::Failed,
        }
    }

    async fn fetch(&self, url: url::Url) -> Result<Outcome, OutboundError> {
        let wanted = Wanted {
            accept: "application/json",
            language: None,
            bytes_max: BYTES_MAX,
            deadline: Instant::now() + WITHIN,
        };
        let mut fetched = self.outbound.get(url, &wanted).await?;
        let body = fetched.whole().await?;
        let good_for_ms = good_for_ms(
            fetched.cache_control.as_deref(),
            fetched.expires.as_deref(),
            self.env.now_ms(),
        );
        Ok(read(&body).map_or(Outcome::Nothing, |name| Outcome::Said(name, good_for_ms)))
    }
}

/// The name in an answer.
fn read(body: &[u8]) -> Option<OwnedServerName> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "m.server")]
        server: String,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    ServerName::parse(answer.server).ok()
}

/// For how long an answer is good.
fn good_for_ms(cache_control: Option<&str>, expires: Option<&str>, now_ms: u64) -> u64 {
    let said = cache_control
        .and_then(max_age_ms)
        .or_else(|| expires.map(|date| until_ms(date).saturating_sub(now_ms)));
    said.unwrap_or(DEFAULT_MS).clamp(SHORTEST_MS, LONGEST_MS)
}

/// What `Cache-Control` says, if it says anything of time.
fn max_age_ms(header: &str) -> Option<u64> {
    let mut age = None;
    for directive in header.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(0),
            "max-age" => {
                let seconds = value.trim().trim_matches('"').parse::<u64>();
                age = Some(seconds.map_or(0, |seconds| seconds.saturating_mul(1_000)));
            }
            _ => {}
        }
    }
    age
}

/// A date of HTTP; what is none lies in the past.
fn until_ms(date: &str) -> u64 {
    httpdate::parse_http_date(date)
        .ok()
        .and_then(|date| date.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_is_good() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = 784_111_777_000;
        for (cache_control, expires, hours) in [
            (None, None, 24.0),
            (Some("public"), None, 24.0),
            (Some("max-age=7200"), None, 2.0),
            (Some("public, Max-Age=\"7200\""), None, 2.0),
            (Some("max-age=99999999999999999999"), None, 1.0 / 12.0),
            (Some("max-age=9999999"), None, 48.0),
            (Some("max-age=1"), None, 1.0 / 12.0),
            (Some("no-store, max-age=7200"), None, 1.0 / 12.0),
            (None, Some("Sun, 06 Nov 1994 11:49:37 GMT"), 3.0),
            (None, Some("Sun, 06 Nov 1994 07:49:37 GMT"), 1.0 / 12.0),
            (None, Some("0"), 1.0 / 12.0),
            (Some("max-age=7200"), Some("0"), 2.0),
        ] {
            let good = good_for_ms(cache_control, expires, now);
            let wanted = (hours * HOUR_MS as f64).round() as u64;
            assert_eq!(good, wanted, "{cache_control:?} {expires:?}");
        }
    }

    #[test]
    fn answers() {
        let read = |text: &str| read(text.as_bytes()).map(|name| name.to_string());
        assert_eq!(
            read(r#"{"m.server":"a.example:1"}"#).as_deref(),
            Some("a.example:1")
        );
        for text in [
            "",
            "{}",
            r#"{"m.server":1}"#,
            r#"{"m.server":"a b"}"#,
            r#"{"m.server":""}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn errors_are_remembered_ever_longer() {
        let name = ServerName::parse("m.example").unwrap();
        let mut memory = Memory::default();
        memory.learn(Outcome::Said(name.clone(), HOUR_MS), 0);
        let mut now = HOUR_MS;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            memory.learn(Outcome::Failed, now);
            pauses.push((memory.good_until_ms - now) / MINUTE_MS);
            now = memory.good_until_ms;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(memory.said, Some(name), "it is believed while it may be");
        memory.learn(Outcome::Failed, LONGEST_MS + 1);
        assert_eq!(memory.said, None);
        memory.learn(Outcome::Nothing, now);
        assert_eq!(memory.good_until_ms, now + HOUR_MS);
    }
}

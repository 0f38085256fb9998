//! Asks application services about the networks behind them (application service API, "Third-party networks").

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, stream};
use parking_lot::Mutex;
use ruma::thirdparty::Protocol;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{bounded, encoded};
use crate::{
    edge::Bridge,
    outbound::{Client, Trust},
};

/// Under this path an application service answers.
const PREFIX: &str = "/_matrix/app/v1/thirdparty";

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// An application service must answer within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// So many questions are open at once for one request.
const QUESTIONS_AT_ONCE: usize = 8;

/// Descriptions of protocols are good for so long.
const KEPT_MS: u64 = 60 * 60 * 1_000;

/// So many of them are kept.
const KEPT_MAX: usize = 128;

/// The way to what application services know of other networks.
pub(crate) struct BridgeNetworks {
    http: Client,
    kept: Mutex<Kept>,
}

/// Descriptions of protocols by application service and protocol, each with the time until which it is good.
#[derive(Default)]
struct Kept(BTreeMap<(String, String), (u64, Protocol)>);

impl BridgeNetworks {
    /// Nothing is known yet.
    pub(super) fn new(trust: &Arc<Trust>) -> Self {
        Self {
            http: Client::for_operators_choice(trust, |builder| builder.timeout(ANSWER_WITHIN)),
            kept: Mutex::default(),
        }
    }

    /// How each of these application services describes its protocols, or only one of them, in their order. Descriptions that are not given are left out.
    pub(crate) async fn descriptions(
        &self,
        bridges: Vec<Arc<Bridge>>,
        only: Option<&str>,
        now_ms: u64,
    ) -> Vec<(String, Protocol)> {
        let mut questions = Vec::new();
        for bridge in bridges {
            let protocols: BTreeSet<String> = bridge.protocols.iter().cloned().collect();
            for protocol in protocols {
                if only.is_none_or(|only| only == protocol) {
                    let question = self.description(bridge.clone(), protocol, now_ms);
                    questions.push(question.boxed_local());
                }
            }
        }
        answers(questions).await
    }

    /// What these application services find, in their order: `path` is what follows `thirdparty/`, with the query.
    pub(crate) async fn look_up<T: DeserializeOwned + 'static>(
        &self,
        bridges: Vec<Arc<Bridge>>,
        path: &str,
    ) -> Vec<T> {
        let mut questions = Vec::new();
        for bridge in bridges {
            questions.push(self.found::<T>(bridge, path).boxed_local());
        }
        answers(questions).await
    }

    async fn description(
        &self,
        bridge: Arc<Bridge>,
        protocol: String,
        now_ms: u64,
    ) -> Option<(String, Protocol)> {
        let key = (bridge.id.clone(), protocol);
        let kept = self.kept.lock().get(&key, now_ms);
        if let Some(described) = kept {
            return Some((key.1, described));
        }
        let path = format!("protocol/{}", encoded(&key.1));
        let mut described: Protocol = self.answer(&bridge, &path).await?;
        for instance in &mut described.instances {
            // Ours to say: no application service may speak for another's network.
            instance.instance_id = Some(format!("{}|{}", bridge.id, instance.network_id));
        }
        self.kept.lock().put(key.clone(), described.clone(), now_ms);
        Some((key.1, described))
    }

    /// What is no `T` is left out.
    async fn found<T: DeserializeOwned + 'static>(
        &self,
        bridge: Arc<Bridge>,
        path: &str,
    ) -> Vec<T> {
        let told: Option<Vec<Value>> = self.answer(&bridge, path).await;
        let told = told.unwrap_or_default();
        let told_count = told.len();
        let good: Vec<T> = told
            .into_iter()
            .filter_map(|one| serde_json::from_value(one).ok())
            .collect();
        if good.len() < told_count {
            let count = told_count - good.len();
            tracing::debug!(
                bridge = bridge.id,
                count,
                "an application service finds what cannot be used"
            );
        }
        good
    }

    async fn answer<T: DeserializeOwned>(&self, bridge: &Bridge, path: &str) -> Option<T> {
        let url = format!("{}{PREFIX}/{path}", bridge.url.as_deref()?);
        match self.fetch(&url, &bridge.hs_token).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(
                    bridge = bridge.id,
                    error,
                    "an application service does not tell of its network"
                );
                None
            }
        }
    }

    /// What is asked for; why it is not told, otherwise, in words that can go to the log.
    async fn fetch<T: DeserializeOwned>(&self, url: &str, hs_token: &str) -> Result<T, String> {
        let answer = self.http.get(url).bearer_auth(hs_token).send().await;
        let answer = answer.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = bounded(answer, ANSWER_BYTES_MAX).await?;
        // The error's own words may repeat what was answered.
        serde_json::from_slice(&body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("its answer makes no sense at line {line}, column {column}")
        })
    }
}

impl Kept {
    fn get(&self, key: &(String, String), now_ms: u64) -> Option<Protocol> {
        let (until_ms, described) = self.0.get(key)?;
        (*until_ms > now_ms).then(|| described.clone())
    }

    /// Keeps a description. When there is no room, not even after those are forgotten that are too old, it is asked for each time.
    fn put(&mut self, key: (String, String), described: Protocol, now_ms: u64) {
        if self.0.len() >= KEPT_MAX {
            self.0.retain(|_, (until_ms, _)| *until_ms > now_ms);
        }
        if self.0.len() < KEPT_MAX {
            self.0.insert(key, (now_ms + KEPT_MS, described));
        }
    }
}

/// All answers in the order of the questions, of which some are open at once.
async fn answers<T: IntoIterator>(questions: Vec<LocalBoxFuture<'_, T>>) -> Vec<T::Item> {
    let answers: Vec<T> = stream::iter(questions)
        .buffered(QUESTIONS_AT_ONCE)
        .collect()
        .await;
    answers.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn descriptions_are_kept_for_an_hour_and_within_bounds() {
        let described = || -> Protocol {
            let told = json!({
                "user_fields": [], "location_fields": [], "icon": "", "field_types": {}, "instances": []
            });
            serde_json::from_value(told).unwrap()
        };
        let key = |number: usize| (number.to_string(), "irc".to_owned());
        let mut kept = Kept::default();
        kept.put(key(0), described(), 1);
        assert!(kept.get(&key(0), KEPT_MS).is_some());
        assert!(kept.get(&key(0), KEPT_MS + 1).is_none());
        assert!(kept.get(&key(1), 1).is_none());
        for number in 1..=KEPT_MAX {
            kept.put(key(number), described(), 2);
        }
        assert_eq!(kept.0.len(), KEPT_MAX);
        assert!(kept.get(&key(KEPT_MAX), 2).is_none());
        // The first is too old by now, the others are not.
        kept.put(key(KEPT_MAX), described(), KEPT_MS + 1);
        assert_eq!(kept.0.len(), KEPT_MAX);
        assert!(kept.get(&key(0), 1).is_none());
        assert!(kept.get(&key(KEPT_MAX), KEPT_MS + 1).is_some());
    }
}

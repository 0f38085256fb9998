//! The keys of other servers: known, remembered, asked for directly, and at last through others (server-server API, "Retrieving server keys").
//!
//! Owns when whom is asked. A server that does not answer is left alone for a while, many who want the same keys ask once, and memory is bounded: what
//! falls out of it is still in the log.

mod peer;
mod published;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use playhouse_actors::{
    env::Env,
    network::{KeysWanted, PeerError},
    peer_keys::{HeardKeys, KnownKeys},
};
use ruma::{
    CanonicalJsonObject, OwnedServerName, ServerName,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};

use self::peer::{Peer, Way};
use super::own_keys::own_public_keys;

/// Whoever asks is answered within this time, with what is known then: for a few servers, longer for each that is wanted, and for any number.
const WITHIN: (Duration, Duration, Duration) = (
    Duration::from_secs(30),
    Duration::from_millis(100),
    Duration::from_secs(300),
);

/// The keys of so many servers are asked for at the same time.
const AT_ONCE: usize = 64;

/// If the keys of more servers than this are missing, notaries are asked before the servers: one question instead of many.
const DIRECTLY_MAX: usize = 8;

/// A notary is asked for so many servers at once, and answers for so many as one itself.
pub(crate) const BATCH_MAX: usize = 100;

/// So many servers are kept in memory.
const PEERS_MAX: usize = 4_096;

/// Which keys of a server are wanted, and for what time.
type Ids = BTreeMap<String, u64>;

/// How keys are asked for.
pub(super) trait Asking: Send + Sync {
    /// Sends a request that needs no signature. A body makes it a `POST`.
    fn ask<'a>(
        &'a self,
        server_name: &'a ServerName,
        path: &'static str,
        body: Option<String>,
    ) -> BoxFuture<'a, Result<Bytes, PeerError>>;
}

/// Where keys are remembered.
pub(super) trait Shelf: Send + Sync {
    /// What is remembered; `None` when nobody can tell now.
    fn known<'a>(&'a self, server_name: &'a ServerName) -> BoxFuture<'a, Option<KnownKeys>>;

    /// Remembers what was heard.
    fn keep<'a>(&'a self, server_name: &'a ServerName, heard: HeardKeys) -> BoxFuture<'a, ()>;
}

/// The keys of other servers.
pub(super) struct KeyRing {
    env: Env,
    asking: Arc<dyn Asking>,
    shelf: Arc<dyn Shelf>,
    notaries: Vec<OwnedServerName>,
    peers: Mutex<BTreeMap<OwnedServerName, Arc<Peer>>>,
    slots: Semaphore,
    notary_turn: tokio::sync::Mutex<()>,
}

/// A server whose keys are wanted.
#[derive(Clone)]
struct Want<'a> {
    server_name: &'a ServerName,
    ids: &'a Ids,
    peer: Arc<Peer>,
}

impl Want<'_> {
    fn is_met(&self, now_ms: u64) -> bool {
        self.peer.has(self.ids, now_ms)
    }
}

impl KeyRing {
    pub(super) fn new(
        env: Env,
        (asking, shelf): (Arc<dyn Asking>, Arc<dyn Shelf>),
        notaries: Vec<OwnedServerName>,
    ) -> Self {
        Self {
            env,
            asking,
            shelf,
            notaries,
            peers: Mutex::default(),
            slots: Semaphore::new(AT_ONCE),
            notary_turn: tokio::sync::Mutex::default(),
        }
    }

    /// The keys that are known or can be found. Of a server of which no key is named, all that are valid now.
    pub(super) async fn keys(&self, wanted: &KeysWanted) -> PublicKeyMap {
        let us = self.env.server_name();
        let others = wanted.iter().filter(|(server_name, _)| *server_name != us);
        let wants: Vec<Want<'_>> = others
            .map(|(server_name, ids)| Want {
                server_name,
                ids,
                peer: self.peer(server_name),
            })
            .collect();
        let (few, each, most) = WITHIN;
        let within = most.min(few + each * wants.len().try_into().unwrap_or(u32::MAX));
        if timeout(within, self.fetch(&wants)).await.is_err() {
            tracing::debug!(servers = wants.len(), "not all keys are found in time");
        }
        let now_ms = self.env.now_ms();
        let mut found: PublicKeyMap = wants
            .iter()
            .map(|want| {
                (
                    want.server_name.to_string(),
                    want.peer.keys(want.ids, now_ms),
                )
            })
            .filter(|(_, keys)| !keys.is_empty())
            .collect();
        if let Some(ids) = wanted.get(us) {
            found.insert(us.to_string(), self.own(ids));
        }
        found
    }

    fn own(&self, ids: &Ids) -> PublicKeySet {
        if ids.is_empty() {
            return own_public_keys(&self.env, self.env.now_ms());
        }
        let find = |(key_id, at_ms): (&String, &u64)| {
            own_public_keys(&self.env, *at_ms).remove_entry(key_id)
        };
        ids.iter().filter_map(find).collect()
    }

    async fn fetch(&self, wants: &[Want<'_>]) {
        let missing = self.missing(wants);
        join_all(missing.iter().map(|want| self.remember(want))).await;
        let missing = self.missing(&missing);
        let is_many = missing.len() > DIRECTLY_MAX && !self.notaries.is_empty();
        if is_many {
            self.ask_notaries(&missing).await;
        }
        let missing = self.missing(&missing);
        join_all(missing.iter().map(|want| self.ask_directly(want))).await;
        let missing = self.missing(&missing);
        if !is_many && !missing.is_empty() {
            self.ask_notaries(&missing).await;
        }
    }

    fn missing<'a>(&self, wants: &[Want<'a>]) -> Vec<Want<'a>> {
        let now_ms = self.env.now_ms();
        let missing = wants.iter().filter(|want| !want.is_met(now_ms));
        missing.cloned().collect()
    }

    /// Reads from the log what earlier runs learnt.
    async fn remember(&self, want: &Want<'_>) {
        let mut is_loaded = want.peer.turn.lock().await;
        if !*is_loaded && let Some(known) = self.shelf.known(want.server_name).await {
            want.peer.recall(known);
            *is_loaded = true;
        }
    }

    /// Asks a server for its own keys.
    async fn ask_directly(&self, want: &Want<'_>) {
        let _turn = want.peer.turn.lock().await;
        let now_ms = self.env.now_ms();
        if want.is_met(now_ms) || !want.peer.may_ask(Way::Directly, now_ms) {
            return;
        }
        let Ok(_slot) = self.slots.acquire().await else {
            return;
        };
        let server_name = want.server_name;
        let answer = self
            .asking
            .ask(server_name, "/_matrix/key/v2/server", None)
            .await;
        let heard = answer.map_err(|error| error.to_string()).and_then(|body| {
            let object = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            published::read(object, server_name, true).map_err(|doubt| doubt.to_string())
        });
        let now_ms = self.env.now_ms();
        want.peer.asked(Way::Directly, heard.is_ok(), now_ms);
        match heard {
            Ok(heard) => self.learn(want, heard).await,
            Err(error) => tracing::debug!(%server_name, error, "no keys"),
        }
    }

    async fn learn(&self, want: &Want<'_>, heard: HeardKeys) {
        want.peer.learn(&heard, self.env.now_ms());
        self.shelf.keep(want.server_name, heard).await;
    }

    /// Asks others for keys that their servers do not give. One question at a time: it is about many servers.
    async fn ask_notaries(&self, missing: &[Want<'_>]) {
        let _turn = self.notary_turn.lock().await;
        let now_ms = self.env.now_ms();
        let mut missing = self.missing(missing);
        missing.retain(|want| want.peer.may_ask(Way::Notary, now_ms));
        for notary in &self.notaries {
            let mut missing = self.missing(&missing);
            missing.retain(|want| want.server_name != notary);
            for batch in missing.chunks(BATCH_MAX) {
                if let Err(error) = self.ask_notary(notary, batch).await {
                    tracing::debug!(%notary, error, "a notary does not help");
                }
            }
        }
        let now_ms = self.env.now_ms();
        for want in missing {
            let is_met = want.is_met(now_ms);
            want.peer.asked(Way::Notary, is_met, now_ms);
        }
    }

    async fn ask_notary(&self, notary: &ServerName, batch: &[Want<'_>]) -> Result<(), String> {
        let keys = self
            .notary_keys(notary)
            .await
            .ok_or("its keys are unknown")?;
        let criteria = |ids: &Ids| -> serde_json::Map<String, serde_json::Value> {
            let criteria = ids.iter().filter(|(_, at_ms)| **at_ms < 1 << 53);
            criteria
                .map(|(key_id, at_ms)| (key_id.clone(), json!({"minimum_valid_until_ts": at_ms})))
                .collect()
        };
        let servers: serde_json::Map<_, _> = batch
            .iter()
            .map(|want| (want.server_name.to_string(), criteria(want.ids).into()))
            .collect();
        let question = json!({ "server_keys": servers }).to_string();
        let answer = self
            .asking
            .ask(notary, "/_matrix/key/v2/query", Some(question))
            .await
            .map_err(|error| error.to_string())?;
        let mut learning = Vec::new();
        for object in notary_answer(&answer)? {
            let name = object.get("server_name").and_then(|name| name.as_str());
            let Some(want) = batch
                .iter()
                .find(|want| name == Some(want.server_name.as_str()))
            else {
                continue;
            };
            let is_vouched_for = published::is_signed(&object, notary, &keys) == Ok(true);
            match published::read(object, want.server_name, false) {
                Ok(heard) if is_vouched_for => learning.push(self.learn(want, heard)),
                _ => {
                    let server_name = want.server_name;
                    tracing::debug!(%notary, %server_name, "a notary answers wrongly");
                }
            }
        }
        // Each is a record: many at once are written as one.
        join_all(learning).await;
        Ok(())
    }

    /// The keys of a notary, which only itself can tell.
    async fn notary_keys(&self, notary: &ServerName) -> Option<PublicKeySet> {
        let ids = Ids::new();
        let want = Want {
            server_name: notary,
            ids: &ids,
            peer: self.peer(notary),
        };
        if !want.is_met(self.env.now_ms()) {
            self.remember(&want).await;
            self.ask_directly(&want).await;
        }
        let keys = want.peer.keys(&ids, self.env.now_ms());
        (!keys.is_empty()).then_some(keys)
    }

    fn peer(&self, server_name: &ServerName) -> Arc<Peer> {
        let mut peers = self.peers.lock();
        let now_ms = self.env.now_ms();
        if peers.len() >= PEERS_MAX && !peers.contains_key(server_name) {
            let mut touched: Vec<u64> = peers.values().map(|peer| peer.touched_ms()).collect();
            touched.sort_unstable();
            let middle = touched[touched.len() / 2];
            peers.retain(|_, peer| peer.touched_ms() > middle);
        }
        let peer = peers.entry(server_name.to_owned()).or_default().clone();
        peer.touch(now_ms);
        peer
    }
}

fn notary_answer(answer: &[u8]) -> Result<Vec<CanonicalJsonObject>, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        server_keys: Vec<serde_json::Value>,
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let objects = answer.server_keys.into_iter();
    Ok(objects
        .filter_map(|object| serde_json::from_value(object).ok())
        .collect())
}

/// A key as `ruma` wants it.
fn base64(key: &[u8]) -> Base64 {
    Base64::new(key.to_vec())
}

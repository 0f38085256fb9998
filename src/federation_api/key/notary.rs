//! Vouching for the keys of other servers (server-server API, "Querying Keys Through Another Server"): what a server published, with our signature added.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use playhouse_actors::{network::KeysWanted, peer_keys::KnownKeys};
use ruma::{CanonicalJsonObject, OwnedServerName, ServerName};

use crate::{
    client::page::Object,
    edge::{App, RawJson},
    federation::{
        key_ring::BATCH_MAX,
        own_keys::{own_keys_json, sign_as_notary},
    },
};

/// So many servers are asked at once.
const SERVERS_AT_ONCE: usize = 8;

/// What is wanted of a server's keys.
pub(super) struct Asked {
    /// Which keys, each with the time until which it must be valid; all when none is named.
    pub(super) key_ids: BTreeMap<String, u64>,
    /// Until when what the server published must be valid.
    pub(super) valid_until_ts: u64,
}

/// Tells what servers published. Servers of which nothing can be found are left out, and those that are too many for one question.
pub(super) async fn answer(app: &App, wanted: BTreeMap<OwnedServerName, Asked>) -> RawJson {
    let questions: Vec<_> = wanted
        .into_iter()
        // Each may have to be asked.
        .take(BATCH_MAX)
        .map(|(server_name, asked)| published(app, server_name, asked).boxed_local())
        .collect();
    let found = stream::iter(questions)
        .buffered(SERVERS_AT_ONCE)
        .filter_map(async |published| published)
        .collect::<Vec<_>>();
    Object::new().array("server_keys", &found.await).finish()
}

async fn published(app: &App, server_name: OwnedServerName, asked: Asked) -> Option<Bytes> {
    if app.house.is_local(&server_name) {
        return Some(text_of(&own_keys_json(app.env())));
    }
    let mut known = known(app, &server_name).await;
    if !suffices(&known, &asked) {
        let mut key_ids = asked.key_ids;
        // Whoever names no key wants what the server publishes now: it is asked when one is looked for that nobody has.
        if key_ids.is_empty() {
            key_ids.insert("ed25519:".to_owned(), asked.valid_until_ts);
        }
        let wanted = KeysWanted::from([(server_name.clone(), key_ids)]);
        app.env().network.keys(wanted).await;
        known = self::known(app, &server_name).await;
    }
    let mut published: CanonicalJsonObject = serde_json::from_str(&known.published).ok()?;
    sign_as_notary(app.env(), &mut published);
    Some(text_of(&published))
}

async fn known(app: &App, server_name: &ServerName) -> KnownKeys {
    let known = app.house.peer_keys(server_name).await;
    known.unwrap_or_else(|error| {
        tracing::debug!(%server_name, %error, "what is known of a server's keys cannot be told");
        KnownKeys::default()
    })
}

fn suffices(known: &KnownKeys, asked: &Asked) -> bool {
    known.published_until_ts >= asked.valid_until_ts
        && asked
            .key_ids
            .keys()
            .all(|key_id| known.keys.contains_key(key_id))
}

/// An object as JSON text.
pub(super) fn text_of(object: &CanonicalJsonObject) -> Bytes {
    Bytes::from(serde_json::to_string(object).unwrap_or_else(|_| "{}".to_owned()))
}

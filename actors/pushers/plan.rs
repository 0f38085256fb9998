//! A pusher as those who push read it.

use std::sync::Arc;

use playhouse_schema::address::Sequence;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::user::{
    push_standing::Standing,
    pushers::{NamedPusher, PusherBook},
};

/// A pusher that may be pushed to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) number: Sequence,
    pub(super) app_id: String,
    pub(super) pushkey: String,
    /// When the key was set last, seconds since the Unix epoch.
    pub(super) pushkey_ts: u64,
    /// What happened before is not for it, milliseconds since the Unix epoch.
    pub(super) made_ms: u64,
    pub(super) language: String,
    pub(super) way: Way,
    pub(super) standing: Arc<Standing>,
    /// The gateway may have been told something of which nobody knows.
    pub(super) is_unsure: bool,
}

/// How it is pushed to.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// By a push gateway.
    Http(Gateway),
    /// By mail, on behalf of an application if the client has said.
    Mail(Option<String>),
}

/// What is known of a push gateway.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub(super) url: String,
    /// The host, for the log.
    pub(super) host: String,
    /// The pusher's data without the URL.
    pub(super) data: Map<String, Value>,
    pub(super) event_id_only: bool,
    /// It does not want counts (MSC4076).
    pub(super) without_counts: bool,
}

#[derive(Deserialize)]
struct Wire {
    kind: String,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default, rename = "org.matrix.msc3881.enabled")]
    enabled: Option<bool>,
}

/// Those of a user's pushers that are switched on.
pub(super) fn targets(book: &PusherBook, mails: bool) -> Vec<Target> {
    let targets = book.pushers.iter().filter_map(target);
    targets
        .filter(|target| mails || matches!(target.way, Way::Http(_)))
        .collect()
}

/// A pusher, if it is switched on and can be used.
pub(super) fn target(named: &NamedPusher) -> Option<Target> {
    let pusher = &named.pusher;
    let wire: Wire = serde_json::from_str(&pusher.json).ok()?;
    (wire.enabled != Some(false)).then_some(())?;
    let mut data = wire.data;
    let way = match wire.kind.as_str() {
        "http" => Way::Http(gateway(data)?),
        "email" => {
            let brand = data.remove("brand");
            Way::Mail(brand.and_then(|brand| brand.as_str().map(ToOwned::to_owned)))
        }
        _ => return None,
    };
    Some(Target {
        number: pusher.number,
        app_id: named.app_id.clone(),
        pushkey: named.pushkey.clone(),
        pushkey_ts: pusher.at_ms / 1000,
        made_ms: pusher.made_ms,
        language: wire.lang.unwrap_or_default(),
        way,
        standing: pusher.standing.clone(),
        is_unsure: pusher.standing.failures > 0,
    })
}

fn gateway(mut data: Map<String, Value>) -> Option<Gateway> {
    let url = data.remove("url")?.as_str()?.to_owned();
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default().to_owned();
    Some(Gateway {
        host,
        url,
        event_id_only: data.get("format").and_then(Value::as_str) == Some("event_id_only"),
        without_counts: data.get("org.matrix.msc4076.disable_badge_count")
            == Some(&Value::Bool(true)),
        data,
    })
}

//! Pushers: where the user wants to be told of notifications (client-server API, "Push Notifications"). Who logs out on a device ends its pushers.

use std::sync::Arc;

use playhouse_schema::{
    address::Sequence,
    record::user::{PusherNamed, PusherSet, UserRecord},
};
use serde::{Deserialize, Serialize};

use super::{
    context::UserLimits,
    error::UserError,
    json,
    message::UserReply,
    push_standing::{EndedPusher, Standing},
    state::{User, text},
};
use crate::{env::Env, kernel::Decision, room::message::JsonText};

const APP_ID_CHARS_MAX: usize = 64;
const PUSHKEY_BYTES_MAX: usize = 512;
const PUSHER_BYTES_MAX: usize = 16 * 1024;

/// Where push gateways listen.
const NOTIFY_PATH: &str = "/_matrix/push/v1/notify";

/// Whether a pusher is switched on (MSC3881), among its fields.
const ENABLED: &str = "org.matrix.msc3881.enabled";

/// A pusher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pusher {
    /// As the client has set it, and as it is told to it.
    pub json: Arc<str>,
    /// The device that has set it.
    pub device_id: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The record that made it. It stays the same when the pusher is set again.
    pub number: Sequence,
    /// When that was.
    pub made_ms: u64,
    /// How things stand with it.
    pub standing: Arc<Standing>,
}

/// A pusher with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedPusher {
    /// The application.
    pub app_id: String,
    /// The key under which the application is reached.
    pub pushkey: String,
    /// The rest.
    pub pusher: Pusher,
}

/// Everything that is known of a user's pushers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PusherBook {
    /// Those in force.
    pub pushers: Vec<NamedPusher>,
    /// Those that were removed by others than the user, the oldest first.
    pub ended: Vec<EndedPusher>,
}

/// As much of a pusher as is judged.
#[derive(Deserialize)]
struct Wish {
    app_id: String,
    pushkey: String,
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    url: Option<String>,
}

/// Judges a pusher to be set.
pub(super) fn decide_set(
    user: &User,
    (pusher, device_id): (JsonText, Option<String>),
    env: &Env,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    json::object(&pusher)?;
    let wish: Wish =
        serde_json::from_str(&pusher).map_err(|error| UserError::BadJson(error.to_string()))?;
    check_ids(&wish.app_id, &wish.pushkey)?;
    check_kind(&wish)?;
    if pusher.len() > PUSHER_BYTES_MAX {
        return Err(UserError::TooLarge("pusher is too large".to_owned()));
    }
    let key = (wish.app_id, wish.pushkey);
    let known = user.pushers.get(&key);
    // One device may switch another's pusher off: it stays that one's.
    let device_id = known
        .and_then(|known| known.device_id.clone())
        .or(device_id);
    if known.is_some_and(|known| *known.json == *pusher && known.device_id == device_id) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    if known.is_none() && user.pushers.len() >= limits.pushers_max {
        return Err(UserError::TooLarge("too many pushers".to_owned()));
    }
    let (app_id, pushkey) = key;
    let record = UserRecord::PusherSet(PusherSet {
        app_id,
        pushkey,
        device_id,
        at_ms: env.now_ms(),
        json: pusher.into_bytes().into(),
    });
    Ok(Decision::new(vec![record], UserReply::Done))
}

/// Judges the removal of a pusher; one that is not there is removed already.
pub(super) fn decide_remove(
    user: &User,
    app_id: String,
    pushkey: String,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let key = (app_id, pushkey);
    if !user.pushers.contains_key(&key) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let (app_id, pushkey) = key;
    let record = UserRecord::PusherRemoved(PusherNamed { app_id, pushkey });
    Ok(Decision::new(vec![record], UserReply::Done))
}

fn check_ids(app_id: &str, pushkey: &str) -> Result<(), UserError> {
    let refused = |message: &str| Err(UserError::InvalidParam(message.to_owned()));
    if app_id.is_empty() || app_id.chars().count() > APP_ID_CHARS_MAX {
        return refused("app_id must have 1 to 64 characters");
    }
    if pushkey.is_empty() || pushkey.len() > PUSHKEY_BYTES_MAX {
        return refused("pushkey must have 1 to 512 bytes");
    }
    Ok(())
}

fn check_kind(wish: &Wish) -> Result<(), UserError> {
    let refused = |message: &str| Err(UserError::InvalidParam(message.to_owned()));
    match wish.kind.as_str() {
        "http" => {
            let Some(url) = &wish.data.url else {
                return Err(UserError::MissingParam("data.url is missing".to_owned()));
            };
            // A gateway in one's own network may do without encryption.
            let rest = url
                .strip_prefix("https://")
                .or_else(|| url.strip_prefix("http://"));
            let host = rest.and_then(|rest| rest.strip_suffix(NOTIFY_PATH));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@'])) {
                return refused("data.url must be a URL with the path /_matrix/push/v1/notify");
            }
            Ok(())
        }
        "email" if wish.app_id != "m.email" => refused("the app_id for mail is m.email"),
        "email" if !wish.pushkey.contains('@') => refused("the pushkey is no mail address"),
        "email" => Ok(()),
        _ => refused("there are no pushers of this kind"),
    }
}

impl User {
    pub(super) fn fold_pushers(&mut self, sequence: Sequence, record: &UserRecord) {
        match record {
            UserRecord::PusherSet(set) => {
                let key = (set.app_id.clone(), set.pushkey.clone());
                let known = self.pushers.get(&key);
                let mut standing = known.map(|known| known.standing.clone());
                if let Some(standing) = &mut standing {
                    // Perhaps this is what was wrong with it.
                    Arc::make_mut(standing).next_ms = 0;
                }
                let pusher = Pusher {
                    json: text(&set.json),
                    device_id: set.device_id.clone(),
                    at_ms: set.at_ms,
                    number: known.map_or(sequence, |known| known.number),
                    made_ms: known.map_or(set.at_ms, |known| known.made_ms),
                    standing: standing.unwrap_or_default(),
                };
                self.pushers.insert(key, pusher);
            }
            UserRecord::PusherRemoved(named) => {
                let key = (named.app_id.clone(), named.pushkey.clone());
                self.pushers.remove(&key);
            }
            UserRecord::DeviceRemoved(device_id) => {
                let ended = |pusher: &Pusher| pusher.device_id.as_ref() == Some(device_id);
                let pushers = std::mem::take(&mut self.pushers).into_iter();
                self.pushers = pushers.filter(|(_, pusher)| !ended(pusher)).collect();
            }
            record => self.fold_pushes(record),
        }
    }

    /// All pushers as clients see them.
    pub(super) fn pushers_answer(&self) -> Vec<JsonText> {
        self.pushers.values().map(Pusher::told).collect()
    }

    /// All that is known of pushers.
    pub(super) fn pusher_book(&self) -> PusherBook {
        let pushers = self.pushers.iter();
        let pushers = pushers.map(|((app_id, pushkey), pusher)| NamedPusher {
            app_id: app_id.clone(),
            pushkey: pushkey.clone(),
            pusher: pusher.clone(),
        });
        PusherBook {
            pushers: pushers.collect(),
            ended: self.ended_pushers.iter().cloned().collect(),
        }
    }
}

impl Pusher {
    /// As its user sees it: with whose it is, and whether it is switched on (MSC3881).
    fn told(&self) -> JsonText {
        let Some(fields) = self.json.trim_end().strip_suffix('}') else {
            return self.json.to_string();
        };
        let mut told = fields.to_owned();
        let device_id = serde_json::json!(self.device_id);
        told.push_str(&format!(",\"org.matrix.msc3881.device_id\":{device_id}"));
        if !fields.contains(ENABLED) {
            told.push_str(&format!(",\"{ENABLED}\":true"));
        }
        told.push('}');
        told
    }
}

//! Pushers: where the user wants to be told of notifications (client-server API, "Push Notifications"). Who logs out on a device ends its pushers.

use std::sync::Arc;

use playhouse_schema::record::user::{PusherNamed, PusherSet, UserRecord};
use serde::{Deserialize, Serialize};

use super::{
    context::UserLimits,
    error::UserError,
    json,
    message::UserReply,
    state::{User, text},
};
use crate::{env::Env, kernel::Decision, room::message::JsonText};

const APP_ID_CHARS_MAX: usize = 64;
const PUSHKEY_BYTES_MAX: usize = 512;
const PUSHER_BYTES_MAX: usize = 16 * 1024;

/// Where push gateways listen.
const NOTIFY_PATH: &str = "/_matrix/push/v1/notify";

/// A pusher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pusher {
    /// As the client has set it, and as it is told to it.
    pub json: Arc<str>,
    /// The device that has set it.
    pub device_id: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
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
    pub(super) fn fold_pushers(&mut self, record: &UserRecord) {
        match record {
            UserRecord::PusherSet(set) => {
                let pusher = Pusher {
                    json: text(&set.json),
                    device_id: set.device_id.clone(),
                    at_ms: set.at_ms,
                };
                let key = (set.app_id.clone(), set.pushkey.clone());
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
            _ => {}
        }
    }

    /// All pushers as clients see them.
    pub(super) fn pushers_answer(&self) -> Vec<JsonText> {
        let pushers = self.pushers.values();
        pushers.map(|pusher| pusher.json.to_string()).collect()
    }
}

//! The requests that both gateways get.

mod answers;
mod counts;
mod malformed;
mod places;
mod texts;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::{gateway::NOTIFY, provider::Said};
use super::stage::Stage;

/// One request, and what providers say to what comes of it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What is told of it.
    pub(super) name: String,
    /// The group to which it belongs: what is known of differences is known of groups.
    pub(super) about: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) body: Vec<u8>,
    /// It comes so often, one after the other.
    pub(super) times: usize,
    /// Nothing else goes on meanwhile.
    pub(super) alone: bool,
    /// The devices that are meant, and what a provider says of each in order; 200 when there is nothing left.
    pub(super) devices: Vec<(String, Vec<Said>)>,
}

/// The apps of which every kind of notification is asked.
const KINDS: [&str; 3] = ["org.example.ios", "org.example.android", "org.example.web"];

/// Requests in the making.
pub(super) struct Cases<'a> {
    stage: &'a Stage,
    list: Vec<Case>,
}

/// All of them.
pub(super) fn all(stage: &Stage) -> Vec<Case> {
    let mut cases = Cases {
        stage,
        list: Vec::new(),
    };
    texts::add(&mut cases);
    counts::add(&mut cases);
    answers::add(&mut cases);
    places::add(&mut cases);
    malformed::add(&mut cases);
    cases.list
}

impl Cases<'_> {
    /// The name of the next request's device: no other has it.
    fn key(&self) -> String {
        format!("n{:04}", self.list.len())
    }

    /// A device of an app, as a homeserver tells of it.
    fn device(&self, app_id: &str, key: &str) -> Value {
        let is_web = app_id.starts_with("org.example.web");
        let (pushkey, data) = if is_web {
            let mut data = self.stage.browser.data(&self.stage.provider);
            data["endpoint"] = json!(format!("{}/push/{key}", self.stage.provider.url()));
            (self.stage.browser.pushkey(), data)
        } else if app_id.starts_with("org.example.android") {
            (key.to_owned(), json!({}))
        } else if app_id.ends_with(".hex") {
            let hex = key.bytes().map(|byte| format!("{byte:02X}"));
            (hex.collect(), json!({}))
        } else {
            (STANDARD.encode(key), json!({}))
        };
        json!({ "app_id": app_id, "pushkey": pushkey, "pushkey_ts": 1_700_000_000, "data": data })
    }

    /// A message for one device of an app.
    fn message(&self, app_id: &str) -> Value {
        let key = self.key();
        json!({
            "event_id": format!("${key}"), "room_id": "!room:example.org", "type": "m.room.message",
            "sender": "@tom:example.org", "sender_display_name": "Major Tom", "room_name": "Mission Control",
            "prio": "high", "content": { "msgtype": "m.text", "body": "floating" }, "counts": { "unread": 2 },
            "devices": [self.device(app_id, &key)],
        })
    }

    /// A request with any body.
    fn raw(&mut self, name: &str, about: &'static str, body: impl Into<Vec<u8>>) -> &mut Case {
        let key = self.key();
        self.list.push(Case {
            name: name.to_owned(),
            about,
            method: Method::POST,
            path: NOTIFY,
            body: body.into(),
            times: 1,
            alone: false,
            devices: vec![(key, Vec::new())],
        });
        self.list.last_mut().expect("it was added just now")
    }

    /// A request with a notification.
    fn notify(&mut self, name: &str, about: &'static str, notification: &Value) -> &mut Case {
        let body = json!({ "notification": notification }).to_string();
        self.raw(name, about, body)
    }

    /// A message for an app, changed.
    fn changed(
        &mut self,
        name: &str,
        (about, app_id): (&'static str, &str),
        change: impl Fn(&mut Value),
    ) -> &mut Case {
        let mut notification = self.message(app_id);
        change(&mut notification);
        let name = format!("{app_id}: {name}");
        self.notify(&name, about, &notification)
    }

    /// A message for an app of each kind, changed.
    fn each(&mut self, name: &str, about: &'static str, change: impl Fn(&mut Value)) {
        for app_id in KINDS {
            self.changed(name, (about, app_id), &change);
        }
    }

    /// A message for an app, of which a provider says these in order.
    fn answered(
        &mut self,
        name: &str,
        (about, app_id): (&'static str, &str),
        answers: Vec<Said>,
    ) -> &mut Case {
        let case = self.changed(name, (about, app_id), |_| {});
        case.devices[0].1 = answers;
        case
    }
}

/// Takes a field away.
fn without(value: &mut Value, field: &str) {
    value.as_object_mut().expect("an object").remove(field);
}

/// The data of the only device.
fn data(notification: &mut Value) -> &mut Value {
    &mut notification["devices"][0]["data"]
}

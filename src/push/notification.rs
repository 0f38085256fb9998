//! What homeservers say: `POST /_matrix/push/v1/notify` (push gateway API), read leniently, as homeservers and clients of all ages write it.

use playhouse_actors::env::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::edge::Failure;

/// An app ID has at most so many bytes (client-server API, `POST /pushers/set`).
const APP_ID_BYTES_MAX: usize = 64 * 4;

/// IDs, types and the like have at most so many bytes; the specification allows 255.
const ID_BYTES_MAX: usize = 1_024;

/// A pushkey has at most so many bytes.
const PUSHKEY_BYTES_MAX: usize = 512;

/// A device's `data` has at most so many bytes.
const DATA_BYTES_MAX: usize = 16 * 1024;

/// Events of a call, whose notification is of no use when the call is over.
const CALLS: [&str; 3] = [
    "m.call.invite",
    "m.rtc.notification",
    "org.matrix.msc4075.rtc.notification",
];

/// What is to be told, and to whom.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    /// What.
    pub(super) notice: Notice,
    /// To whom.
    pub(super) devices: Vec<Device>,
}

/// A notification without its devices. Also the form in which it waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// The event, unless there are only counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<String>,
    /// Its room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) room_id: Option<String>,
    /// Its type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) event_type: Option<String>,
    /// Its sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sender: Option<String>,
    /// What the sender is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sender_display_name: Option<String>,
    /// What the room is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) room_name: Option<String>,
    /// An alias of the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) room_alias: Option<String>,
    /// The membership of a member event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) membership: Option<String>,
    /// The member event is about the user who is notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user_is_target: Option<bool>,
    /// `high` or `low`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prio: Option<String>,
    /// The event's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<JsonObject>,
    /// What is unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) counts: Option<Counts>,
}

/// What is unread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unread: Option<i64>,
    /// Calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missed_calls: Option<i64>,
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Device {
    /// The app.
    pub(super) app_id: String,
    /// The device's address at the provider.
    pub(super) pushkey: String,
    /// When that was set, seconds since the Unix epoch.
    #[serde(default)]
    pub(super) pushkey_ts: Option<Value>,
    /// What the client has the homeserver say.
    #[serde(default)]
    pub(super) data: Option<JsonObject>,
}

#[derive(Deserialize)]
struct Body {
    notification: JsonObject,
}

impl Request {
    /// Reads the body of a request for at most so many devices.
    pub(super) fn parse(body: &[u8], devices_max: usize) -> Result<Self, Failure> {
        let Body { mut notification } = serde_json::from_slice(body)?;
        let devices = notification
            .remove("devices")
            .ok_or_else(|| Failure::missing_param("missing field `devices`"))?;
        let devices: Vec<Device> = serde_json::from_value(devices)?;
        let notice: Notice = serde_json::from_value(Value::Object(notification))?;
        if devices.is_empty() {
            return Err(Failure::invalid_param("there are no devices"));
        }
        if devices.len() > devices_max {
            return Err(Failure::invalid_param("there are too many devices"));
        }
        notice.check()?;
        for device in &devices {
            device.check()?;
        }
        Ok(Self { notice, devices })
    }
}

impl Notice {
    fn check(&self) -> Result<(), Failure> {
        let ids = [
            &self.event_id,
            &self.room_id,
            &self.event_type,
            &self.sender,
            &self.membership,
            &self.prio,
        ];
        if ids.into_iter().flatten().any(|id| id.len() > ID_BYTES_MAX) {
            return Err(Failure::invalid_param("an ID or a type is too long"));
        }
        Ok(())
    }

    /// Whether it may wait until the device wakes up anyway.
    pub(super) fn is_low(&self) -> bool {
        self.prio.as_deref() == Some("low")
    }

    /// The same with nothing that tells what was said, by whom, or where.
    pub(super) fn stripped(self) -> Self {
        Self {
            event_id: self.event_id,
            room_id: self.room_id,
            prio: self.prio,
            counts: self.counts,
            ..Self::default()
        }
    }

    /// What is unread and nothing else, when that is told.
    pub(super) fn counts_alone(&self) -> Option<Self> {
        let counts = self.counts.clone()?;
        Some(Self {
            counts: Some(counts),
            ..Self::default()
        })
    }

    /// Unread messages.
    pub(super) fn unread(&self) -> Option<i64> {
        self.counts.as_ref().and_then(|counts| counts.unread)
    }

    /// Missed calls.
    pub(super) fn missed_calls(&self) -> Option<i64> {
        self.counts.as_ref().and_then(|counts| counts.missed_calls)
    }

    /// A text of the content.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.content.as_ref()?.get(field)?.as_str()
    }

    /// How long a call rings, when it is about one.
    pub(super) fn rings_ms(&self) -> Option<u64> {
        let event_type = self.event_type.as_deref()?;
        if !CALLS.contains(&event_type) {
            return None;
        }
        self.content.as_ref()?.get("lifetime")?.as_u64()
    }
}

impl Device {
    fn check(&self) -> Result<(), Failure> {
        if self.app_id.is_empty() || self.app_id.len() > APP_ID_BYTES_MAX {
            return Err(Failure::invalid_param("an app_id is empty or too long"));
        }
        if self.pushkey.is_empty() || self.pushkey.len() > PUSHKEY_BYTES_MAX {
            return Err(Failure::invalid_param("a pushkey is empty or too long"));
        }
        if self.data_text().len() > DATA_BYTES_MAX {
            return Err(Failure::invalid_param("the data of a device is too large"));
        }
        Ok(())
    }

    /// `data` as JSON text.
    pub(super) fn data_text(&self) -> String {
        self.data.as_ref().map_or_else(
            || "{}".to_owned(),
            |data| Value::Object(data.clone()).to_string(),
        )
    }

    /// The address of a browser's push service.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.data.as_ref()?.get("endpoint")?.as_str()
    }

    /// Whether the client wants nothing but IDs to be passed on.
    pub(super) fn wants_ids_only(&self) -> bool {
        let format = self.data.as_ref().and_then(|data| data.get("format"));
        format.and_then(Value::as_str) == Some("event_id_only")
    }

    /// When the pushkey was set, milliseconds since the Unix epoch; 0 when nobody says.
    pub(super) fn pushkey_ts_ms(&self) -> u64 {
        let seconds = self.pushkey_ts.as_ref().and_then(Value::as_f64);
        // Some write fractions; what is below zero or above all bounds becomes the nearest that there is.
        (seconds.unwrap_or(0.0) * 1_000.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<Request, Failure> {
        Request::parse(body.to_string().as_bytes(), 3)
    }

    fn device() -> Value {
        json!({ "app_id": "a", "pushkey": "k" })
    }

    #[test]
    fn the_specifications_example_is_read() {
        let request = parse(&json!({ "notification": {
            "event_id": "$3957tyerfgewrf384", "room_id": "!slw48wfj34rtnrf:example.com",
            "type": "m.room.message", "sender": "@exampleuser:matrix.org",
            "sender_display_name": "Major Tom", "room_name": "Mission Control",
            "room_alias": "#exampleroom:matrix.org", "prio": "high",
            "content": { "msgtype": "m.text", "body": "I'm floating in a most peculiar way." },
            "counts": { "unread": 2, "missed_calls": 1 },
            "devices": [{
                "app_id": "org.matrix.matrixConsole.ios", "pushkey": "V2h5IG9uIGVhcnRoIGRpZCB5b3UgZGVjb2RlIHRoaXM/",
                "pushkey_ts": 12345678, "data": {}, "tweaks": { "sound": "bing" },
            }],
        }}))
        .unwrap();
        let notice = &request.notice;
        assert_eq!((notice.unread(), notice.missed_calls()), (Some(2), Some(1)));
        assert_eq!(notice.text("msgtype"), Some("m.text"));
        assert!(!notice.is_low());
        assert_eq!(request.devices[0].pushkey_ts_ms(), 12_345_678_000);
        let text = serde_json::to_string(notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), *notice);
        let stripped = notice.clone().stripped();
        let told = serde_json::to_value(&stripped).unwrap();
        assert_eq!(
            told,
            json!({
                "event_id": "$3957tyerfgewrf384", "room_id": "!slw48wfj34rtnrf:example.com",
                "prio": "high", "counts": { "unread": 2, "missed_calls": 1 },
            })
        );
    }

    #[test]
    fn little_is_needed() {
        let request = parse(&json!({ "notification": {
            "devices": [device()], "event_id": null, "counts": {}, "anything": [1],
        }}));
        let request = request.unwrap();
        assert_eq!(request.devices[0].data_text(), "{}");
        assert_eq!(request.devices[0].pushkey_ts_ms(), 0);
        assert!(!request.devices[0].wants_ids_only());
        let dated = |timestamp: Value| Device {
            pushkey_ts: Some(timestamp),
            ..request.devices[0].clone()
        };
        assert_eq!(
            dated(json!(1_700_000_000.5)).pushkey_ts_ms(),
            1_700_000_000_500
        );
        assert_eq!(dated(json!(-1)).pushkey_ts_ms(), 0);
        assert_eq!(dated(json!("soon")).pushkey_ts_ms(), 0);
    }

    #[test]
    fn nonsense_is_refused() {
        let long = |bytes: usize| "x".repeat(bytes);
        for (body, code) in [
            (json!({}), "M_MISSING_PARAM"),
            (json!({ "notification": 1 }), "M_BAD_JSON"),
            (json!({ "notification": {} }), "M_MISSING_PARAM"),
            (json!({ "notification": { "devices": 1 } }), "M_BAD_JSON"),
            (
                json!({ "notification": { "devices": [] } }),
                "M_INVALID_PARAM",
            ),
            (
                json!({ "notification": { "devices": [{ "app_id": "a" }] } }),
                "M_MISSING_PARAM",
            ),
            (
                json!({ "notification": { "devices": [device()], "event_id": 1 } }),
                "M_BAD_JSON",
            ),
            (
                json!({ "notification": { "devices": [device()], "room_id": long(1_025) } }),
                "M_INVALID_PARAM",
            ),
            (
                json!({ "notification": { "devices": vec![device(); 4] } }),
                "M_INVALID_PARAM",
            ),
            (
                json!({ "notification": { "devices": [{ "app_id": "a", "pushkey": long(513) }] } }),
                "M_INVALID_PARAM",
            ),
            (
                json!({ "notification": { "devices": [{ "app_id": "", "pushkey": "k" }] } }),
                "M_INVALID_PARAM",
            ),
            (
                json!({ "notification": { "devices": [
                    { "app_id": "a", "pushkey": "k", "data": { "x": long(16_384) } },
                ] } }),
                "M_INVALID_PARAM",
            ),
        ] {
            let failure = parse(&body).unwrap_err();
            assert_eq!(failure.code().as_str(), code, "{body}");
            assert_eq!(failure.status(), 400);
        }
        let failure = Request::parse(b"{", 3).unwrap_err();
        assert_eq!(failure.code().as_str(), "M_NOT_JSON");
    }

    #[test]
    fn calls_ring_as_long_as_they_say() {
        let notice = |event_type: &str| Notice {
            event_type: Some(event_type.to_owned()),
            content: json!({ "lifetime": 60_000 }).as_object().cloned(),
            ..Notice::default()
        };
        assert_eq!(notice("m.call.invite").rings_ms(), Some(60_000));
        assert_eq!(notice("m.room.message").rings_ms(), None);
    }
}

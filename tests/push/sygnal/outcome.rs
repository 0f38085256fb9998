//! What came of a request: the answer, and what providers got. Keys, times and names that differ in every run are made the same.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::super::{browser::Browser, provider::Seen};
use crate::harness::client::Answer;

/// An answer that took longer came late.
const LATE: Duration = Duration::from_secs(7);

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// The status with the pushkeys that are dead.
    pub(super) answer: String,
    /// What an error's body is.
    pub(super) body: &'static str,
    /// The answer came late.
    pub(super) late: bool,
    /// What providers got, by device.
    pub(super) sent: BTreeMap<String, Vec<Sent>>,
}

/// What a provider got.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// `apns`, `fcm` or `web`.
    pub(super) kind: &'static str,
    version: String,
    path: String,
    headers: BTreeMap<String, String>,
    payload: Value,
}

/// Something that is different, before it is known why.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// The group of the request.
    pub(super) about: &'static str,
    /// The request.
    pub(super) name: String,
    /// What is different.
    pub(super) field: String,
    /// What Sygnal makes of it.
    pub(super) theirs: String,
    /// What we make of it.
    pub(super) ours: String,
}

/// What stands for nothing.
pub(super) const NOTHING: &str = "—";

/// The name of the device for which something is.
pub(super) fn key_of(seen: &Seen) -> String {
    if let Some(token) = seen.path.strip_prefix("/3/device/") {
        return from_hex(token).unwrap_or_else(|| token.to_owned());
    }
    if seen.path.starts_with("/v1/projects/") {
        let token = &seen.json()["message"]["token"];
        return token.as_str().unwrap_or_default().to_owned();
    }
    seen.path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn from_hex(text: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

impl Outcome {
    /// An answer, or that there was none.
    pub(super) fn of(answer: Result<Answer, reqwest::Error>, took: Duration) -> Self {
        let late = took > LATE;
        let Ok(answer) = answer else {
            return Self {
                answer: "none".to_owned(),
                late,
                ..Self::default()
            };
        };
        let mut rejected: Vec<&str> = answer.body["rejected"]
            .as_array()
            .map(|keys| keys.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        rejected.sort_unstable();
        let told = match answer.body.get("rejected") {
            Some(_) => format!("{} {rejected:?}", answer.status),
            None => answer.status.to_string(),
        };
        let text = String::from_utf8_lossy(&answer.bytes);
        let body = match answer.status {
            200..=299 => "",
            _ if answer.body.get("errcode").is_some() => "an error of Matrix",
            _ if text.contains("<html>") => "a page",
            _ if text.is_empty() => "nothing",
            _ => "words",
        };
        Self {
            answer: told,
            body,
            late,
            sent: BTreeMap::new(),
        }
    }

    fn time(&self) -> String {
        let time = if self.late { "late" } else { "soon" };
        time.to_owned()
    }

    /// All that is different.
    pub(super) fn differences(
        theirs: &Self,
        ours: &Self,
        (about, name): (&'static str, &str),
    ) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut differ = |field: String, theirs: String, ours: String| {
            if theirs != ours {
                let name = name.to_owned();
                found.push(Difference {
                    about,
                    name,
                    field,
                    theirs,
                    ours,
                });
            }
        };
        differ(
            "answer".to_owned(),
            theirs.answer.clone(),
            ours.answer.clone(),
        );
        if !theirs.body.is_empty() && !ours.body.is_empty() {
            differ("body".to_owned(), theirs.body.into(), ours.body.into());
        }
        differ("time".to_owned(), theirs.time(), ours.time());
        let keys = theirs.sent.keys().chain(ours.sent.keys());
        let mut keys: Vec<&String> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let [them, us] = [theirs, ours].map(|outcome| outcome.sent.get(key));
            let first = them.or(us).and_then(|sent| sent.first());
            let kind = first.map_or("", |sent| sent.kind);
            let count = |sent: Option<&Vec<Sent>>| sent.map_or(0, Vec::len).to_string();
            differ(format!("{kind} attempts"), count(them), count(us));
            if let (Some([them, ..]), Some([us, ..])) =
                (them.map(Vec::as_slice), us.map(Vec::as_slice))
            {
                them.compare(us, &mut differ);
            }
        }
        found
    }
}

impl Sent {
    /// What a provider, who listens there, was asked.
    pub(super) fn of(seen: &Seen, provider: &str, browser: &Browser) -> Self {
        let kind = match seen.path.as_str() {
            path if path.starts_with("/3/device/") => "apns",
            path if path.starts_with("/v1/projects/") => "fcm",
            _ => "web",
        };
        let payload = match kind {
            "web" => browser
                .try_open(&seen.body)
                .unwrap_or_else(|| json!(format!("{} unreadable bytes", seen.body.len()))),
            _ => seen.json(),
        };
        let headers = seen.headers.iter().filter_map(|(name, value)| {
            let value = value.replace(provider, "PROVIDER");
            Some((name.clone(), same(name, &value, provider)?))
        });
        Self {
            kind,
            version: seen.version.clone(),
            path: seen.path.clone(),
            headers: headers.collect(),
            payload,
        }
    }

    /// Something came over the wire, whatever it was.
    pub(super) fn anything() -> Self {
        Self {
            kind: "web",
            ..Self::default()
        }
    }

    fn compare(&self, ours: &Self, differ: &mut impl FnMut(String, String, String)) {
        let kind = self.kind;
        let (theirs, own) = (self.version.clone(), ours.version.clone());
        differ(format!("{kind} version"), theirs, own);
        differ(format!("{kind} path"), self.path.clone(), ours.path.clone());
        let mut names: Vec<&String> = self.headers.keys().chain(ours.headers.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let of = |sent: &Self| {
                let value = sent.headers.get(name).map(String::as_str);
                value.unwrap_or(NOTHING).to_owned()
            };
            differ(format!("{kind} header {name}"), of(self), of(ours));
        }
        let payloads = (Some(&self.payload), Some(&ours.payload));
        compare_json(&format!("{kind} payload"), payloads, differ);
    }
}

fn compare_json(
    path: &str,
    (theirs, ours): (Option<&Value>, Option<&Value>),
    differ: &mut dyn FnMut(String, String, String),
) {
    if let (Some(Value::Object(theirs)), Some(Value::Object(ours))) = (theirs, ours) {
        let mut keys: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let path = format!("{path} {key}");
            compare_json(&path, (theirs.get(key), ours.get(key)), differ);
        }
        return;
    }
    let text = |value: Option<&Value>| value.map_or(NOTHING.to_owned(), Value::to_string);
    differ(path.to_owned(), text(theirs), text(ours));
}

/// A header without what differs in every run; `None` for what belongs to the connection.
fn same(name: &str, value: &str, provider: &str) -> Option<String> {
    let same = match name {
        "host" | "content-length" | "connection" => return None,
        "apns-id" if value.len() == 36 => "a UUID".to_owned(),
        "apns-expiration" if value.parse::<u64>().is_ok_and(|at_s| at_s > 0) => "a time".to_owned(),
        // It has waited for some seconds.
        "ttl" => match value.parse::<u64>() {
            Ok(seconds) => format!("about {}", (seconds + 30) / 60 * 60),
            Err(_) => value.to_owned(),
        },
        "authorization" => authorization(value, provider),
        _ => value.to_owned(),
    };
    Some(same)
}

/// Who is said to ask: the signed parts of a token that matter.
fn authorization(value: &str, provider: &str) -> String {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let scheme = scheme.to_ascii_lowercase();
    let token = rest.trim_start_matches("t=");
    let token = token.split(',').next().unwrap_or_default();
    let parts: Vec<Map<String, Value>> = token.split('.').filter_map(decoded).collect();
    let [header, claims, ..] = parts.as_slice() else {
        return format!("{scheme} {token}");
    };
    let text = |part: &Map<String, Value>, key: &str| match part.get(key) {
        Some(Value::String(text)) => format!(" {key}={}", text.replace(provider, "PROVIDER")),
        _ => String::new(),
    };
    let signed = ["alg", "kid"].map(|key| text(header, key)).concat();
    let claimed = ["iss", "aud", "sub"].map(|key| text(claims, key)).concat();
    format!("{scheme}{signed}{claimed}")
}

fn decoded(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

//! The client-server API as far as the scenarios need it.

use std::time::Instant;

use serde_json::{Value, json};

use super::{
    client::{Answer, Call, Client},
    meter::Meter,
    text::{escape, field},
    trouble::{Outcome, Trouble},
};

const JSON: &str = "application/json";

/// Messages on one page of history.
pub(crate) const PAGE: usize = 100;

/// An account with a session.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) password: String,
}

/// One sync answer.
pub(crate) struct Synced {
    pub(crate) text: String,
    pub(crate) next: String,
}

/// The body of a 2xx; anything else is an error named by status and error code.
pub(crate) fn accepted(answer: Answer) -> Outcome<Vec<u8>> {
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let code = field(&text, "errcode").unwrap_or_default().to_owned();
    Err(Trouble::Refused(answer.status, code))
}

/// The API of one server.
pub(crate) struct Api {
    pub(crate) client: Client,
}

impl Api {
    /// Any request with a JSON body, or none.
    pub(crate) async fn ask(
        &self,
        method: &'static str,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Outcome<Answer> {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let call = Call {
            method,
            path,
            token,
            content_type: JSON,
            body: &body,
        };
        self.client.ask(&call).await
    }

    /// The text of a successful answer.
    pub(crate) async fn get(&self, path: &str, token: &str) -> Outcome<String> {
        text(self.ask("GET", path, Some(token), &Value::Null).await?)
    }

    /// As [`Api::get`].
    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Outcome<String> {
        text(self.ask("POST", path, Some(token), body).await?)
    }

    /// As [`Api::get`].
    pub(crate) async fn put(&self, path: &str, token: &str, body: &Value) -> Outcome<String> {
        text(self.ask("PUT", path, Some(token), body).await?)
    }

    /// Makes a room and gives its ID.
    pub(crate) async fn create_room(&self, user: &User, preset: &str) -> Outcome<String> {
        let body = json!({ "preset": preset });
        let path = "/_matrix/client/v3/createRoom";
        value(&self.post(path, &user.token, &body).await?, "room_id")
    }

    /// Joins a room that is open.
    pub(crate) async fn join(&self, user: &User, room: &str) -> Outcome<()> {
        let path = format!("/_matrix/client/v3/join/{}", escape(room));
        self.post(&path, &user.token, &json!({})).await.map(drop)
    }

    /// Sends a text message and gives the ID under which it was accepted.
    pub(crate) async fn send(
        &self,
        user: &User,
        room: &str,
        transaction: &str,
        body: &str,
    ) -> Outcome<String> {
        let path = room_path(room, &format!("send/m.room.message/{transaction}"));
        let content = json!({"msgtype": "m.text", "body": body});
        value(&self.put(&path, &user.token, &content).await?, "event_id")
    }

    /// One sync. `filter` is JSON, or empty.
    pub(crate) async fn sync(
        &self,
        user: &User,
        since: Option<&str>,
        timeout_ms: u64,
        filter: &str,
    ) -> Outcome<Synced> {
        let mut path = format!("/_matrix/client/v3/sync?timeout={timeout_ms}");
        for (name, given) in [("filter", filter), ("since", since.unwrap_or_default())] {
            if !given.is_empty() {
                path.push_str(&format!("&{name}={}", escape(given)));
            }
        }
        let text = self.get(&path, &user.token).await?;
        let next = value(&text, "next_batch")?;
        Ok(Synced { text, next })
    }

    /// Reads a room's whole history from its end; every page is one operation of the meter and goes through `read`.
    pub(crate) async fn walk(
        &self,
        user: &User,
        room: &str,
        meter: &Meter<'_>,
        mut read: impl FnMut(&str),
    ) {
        let mut from = String::new();
        loop {
            let mut path = room_path(room, &format!("messages?dir=b&limit={PAGE}"));
            if !from.is_empty() {
                path.push_str(&format!("&from={}", escape(&from)));
            }
            let asked = Instant::now();
            let page = match self.get(&path, &user.token).await {
                Ok(page) => page,
                Err(trouble) => return meter.failed(&trouble),
            };
            meter.took(asked.elapsed());
            read(&page);
            let has_events = field(&page, "event_id").is_some();
            match field(&page, "end") {
                Some(end) if has_events && end != from => from = end.to_owned(),
                _ => return,
            }
        }
    }
}

/// A path below a room.
pub(crate) fn room_path(room: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", escape(room))
}

/// A value that must be there.
pub(crate) fn value(text: &str, key: &str) -> Outcome<String> {
    let found = field(text, key).map(ToOwned::to_owned);
    found.ok_or_else(|| Trouble::Surprise(format!("an answer without {key}")))
}

fn text(answer: Answer) -> Outcome<String> {
    String::from_utf8(accepted(answer)?).map_err(|_| Trouble::Surprise("not UTF-8".to_owned()))
}

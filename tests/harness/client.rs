//! A small client: requests and JSON answers, nothing hidden.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::{Value, json};

static TRANSACTION: AtomicU64 = AtomicU64::new(1);

/// A client, with or without an account.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    /// The access token.
    pub(crate) token: Option<String>,
    /// The user ID; empty without an account.
    pub(crate) user_id: String,
    /// The device ID; empty without an account.
    pub(crate) device_id: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body; `null` when it is not JSON.
    pub(crate) body: Value,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    async fn read(response: Response) -> Result<Self, reqwest::Error> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await?.to_vec();
        Ok(Self {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            headers,
            bytes,
        })
    }

    /// A header as text; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body of a 2xx; anything else fails the test.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.body
        );
        self.body
    }

    /// Fails the test unless it is this error.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, errcode: &str) -> Value {
        assert_eq!(
            (self.status, self.body["errcode"].as_str()),
            (status, Some(errcode)),
            "{}",
            self.body
        );
        self.body
    }
}

impl Client {
    /// A client without an account.
    pub(crate) fn new(base: &str) -> Self {
        // Several tests may be first: installing the provider twice is harmless.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(120))
            .build()
            .expect("a client can be built");
        Self {
            http,
            base: base.to_owned(),
            token: None,
            user_id: String::new(),
            device_id: String::new(),
        }
    }

    /// Registers an account by `m.login.dummy`.
    pub(crate) async fn register(base: &str, localpart: &str) -> Self {
        let body = json!({"username": localpart, "password": "correct horse", "auth": {"type": "m.login.dummy"}});
        let client = Self::new(base);
        let answer = client.post("/_matrix/client/v3/register", body).await.ok();
        client.with_session(&answer)
    }

    /// Logs in again: another device of the same account.
    pub(crate) async fn login_again(&self) -> Self {
        let body = json!({
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": self.user_id}, "password": "correct horse"
        });
        let client = self.nobody();
        let answer = client.post("/_matrix/client/v3/login", body).await.ok();
        client.with_session(&answer)
    }

    /// The same without an account.
    pub(crate) fn nobody(&self) -> Self {
        Self {
            token: None,
            user_id: String::new(),
            device_id: String::new(),
            ..self.clone()
        }
    }

    /// The same with the session of an answer to a login or a registration.
    pub(crate) fn with_session(mut self, answer: &Value) -> Self {
        self.token = answer["access_token"].as_str().map(ToOwned::to_owned);
        self.user_id = answer["user_id"].as_str().expect("a user ID").to_owned();
        self.device_id = answer["device_id"].as_str().unwrap_or_default().to_owned();
        self
    }

    /// Where the server answers.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The same client, talking to the server at another place.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// The same over connections of its own.
    pub(crate) fn afresh(&self) -> Self {
        Self {
            http: Self::new(&self.base).http,
            ..self.clone()
        }
    }

    /// Any request.
    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_request(method, path, body)
            .await
            .expect("the server answers")
    }

    /// Any request; an error when the connection breaks.
    pub(crate) async fn try_request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::read(request.send().await?).await
    }

    /// Any bytes as a body.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Answer::read(request.send().await?).await
    }

    /// GET of a body that is still to come.
    pub(crate) async fn opened(&self, path: &str) -> Response {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("the server answers")
    }

    /// GET of what is not JSON.
    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let request = self.http.get(format!("{}{path}", self.base));
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        (status, response.text().await.expect("the body is text"))
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, None).await
    }

    /// POST.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path, Some(body)).await
    }

    /// PUT.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PUT, path, Some(body)).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, None).await
    }

    /// Any request with further headers.
    pub(crate) async fn with_headers(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the server answers");
        Answer::read(response).await.expect("the answer is whole")
    }

    /// Makes a room and gives its ID.
    pub(crate) async fn create_room(&self, body: Value) -> String {
        let answer = self.post("/_matrix/client/v3/createRoom", body).await.ok();
        answer["room_id"].as_str().expect("a room ID").to_owned()
    }

    /// Joins a room.
    pub(crate) async fn join(&self, room_id: &str) {
        self.post(
            &format!("/_matrix/client/v3/join/{}", encode(room_id)),
            json!({}),
        )
        .await
        .ok();
    }

    /// Sends a text and gives the event ID.
    pub(crate) async fn say(&self, room_id: &str, text: &str) -> String {
        let transaction = TRANSACTION.fetch_add(1, Ordering::Relaxed);
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/t{transaction}",
            encode(room_id)
        );
        let answer = self
            .put(&path, json!({"msgtype": "m.text", "body": text}))
            .await
            .ok();
        answer["event_id"].as_str().expect("an event ID").to_owned()
    }

    /// Sets state and gives the event ID.
    pub(crate) async fn set_state(
        &self,
        room_id: &str,
        event_type: &str,
        state_key: &str,
        content: Value,
    ) -> Answer {
        self.put(
            &format!(
                "/_matrix/client/v3/rooms/{}/state/{event_type}/{}",
                encode(room_id),
                encode(state_key)
            ),
            content,
        )
        .await
    }

    /// Syncs; `query` is added to `timeout=0` and `since`.
    pub(crate) async fn sync(&self, since: Option<&str>, query: &str) -> Value {
        let since = since
            .map(|since| format!("&since={}", encode(since)))
            .unwrap_or_default();
        let timeout = if query.contains("timeout=") {
            ""
        } else {
            "&timeout=0"
        };
        self.get(&format!("/_matrix/client/v3/sync?{query}{timeout}{since}"))
            .await
            .ok()
    }

    /// A whole room's history, oldest first, by paging `/messages` forwards.
    pub(crate) async fn history(&self, room_id: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!(
                "/_matrix/client/v3/rooms/{}/messages?dir=f&limit=1000{from}",
                encode(room_id)
            );
            let page = self.get(&path).await.ok();
            events.extend(page["chunk"].as_array().expect("a chunk").iter().cloned());
            match page["end"].as_str() {
                Some(end) => from = format!("&from={}", encode(end)),
                None => return events,
            }
        }
    }
}

/// Percent-encodes a path segment or query value.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

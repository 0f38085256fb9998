//! HTTP towards other servers: one pool of connections, every answer bounded in size, and in time unless it is taken as it comes.

use std::{
    error::Error as StdError,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, Request, header, response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use playhouse_actors::network::{PeerAnswer, PeerError};
use tokio::time::{Instant, timeout_at};

use super::{
    connect::{ConnectError, Connecting, Connector, Routes},
    names::Route,
};
use crate::outbound::{AddressRules, Lookup, Trust};

/// A connection that nobody uses is closed after this time.
const IDLE: Duration = Duration::from_secs(60);

/// So many unused connections are kept to one server.
const IDLE_MAX: usize = 2;

/// Of a refusal no more than this is read.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;

/// Of what a refusal says so many characters are passed on.
const SAID_CHARS_MAX: usize = 300;

/// A request as it goes out.
pub(super) struct Sending {
    /// The HTTP method.
    pub(super) method: &'static str,
    /// Path and query.
    pub(super) path: String,
    /// The signature; keys are asked for without one.
    pub(super) authorization: Option<String>,
    /// The JSON body.
    pub(super) body: Option<String>,
    /// When the last byte must be here; the last one of the head, if the answer is taken as it comes.
    pub(super) deadline: Instant,
    /// A larger answer is refused.
    pub(super) answer_bytes_max: u64,
}

/// The connections to all servers.
pub(super) struct Wire {
    routes: Arc<Routes>,
    connector: Connector,
    client: OnceLock<Client<Connector, Full<Bytes>>>,
}

impl Wire {
    pub(super) fn new(
        trust: &Arc<Trust>,
        (rules, lookup): (AddressRules, Arc<dyn Lookup>),
    ) -> Self {
        let routes = Arc::<Routes>::default();
        let connecting = Connecting {
            routes: routes.clone(),
            lookup,
            rules,
            trust: trust.clone(),
            tls: OnceLock::new(),
        };
        Self {
            routes,
            connector: Connector(Arc::new(connecting)),
            client: OnceLock::new(),
        }
    }

    /// Sends a request and takes the answer.
    pub(super) async fn send(
        &self,
        route: &Arc<Route>,
        sending: Sending,
    ) -> Result<Bytes, PeerError> {
        let deadline = sending.deadline;
        let bytes_max = usize::try_from(sending.answer_bytes_max).unwrap_or(usize::MAX);
        let (_, body) = self.begin(route, sending).await?;
        whole(body, bytes_max, deadline).await
    }

    /// Sends a request. The answer is taken as it comes, and whoever takes it decides how long that may last.
    pub(super) async fn open(
        &self,
        route: &Arc<Route>,
        sending: Sending,
    ) -> Result<PeerAnswer, PeerError> {
        let left = sending.answer_bytes_max;
        let (head, body) = self.begin(route, sending).await?;
        if body.size_hint().lower() > left {
            return Err(PeerError::TooLarge);
        }
        let text = |name: HeaderName| {
            let value = head.headers.get(name)?;
            String::from_utf8(value.as_bytes().to_vec()).ok()
        };
        let length = body.size_hint().exact();
        let rest = Rest { body, left };
        Ok(PeerAnswer {
            content_type: text(header::CONTENT_TYPE),
            content_disposition: text(header::CONTENT_DISPOSITION),
            length,
            pieces: stream::try_unfold(rest, Rest::next).boxed(),
        })
    }

    /// Sends a request and takes the head of the answer, which is no refusal.
    async fn begin(
        &self,
        route: &Arc<Route>,
        sending: Sending,
    ) -> Result<(response::Parts, Incoming), PeerError> {
        let taken = self.routes.take(route);
        let mut request = Request::builder()
            .method(sending.method)
            .uri(format!("https://{}{}", taken.key, sending.path))
            .header(header::HOST, &route.host)
            .header(header::USER_AGENT, super::USER_AGENT)
            .header(header::ACCEPT, "application/json")
            // What is compressed may be a thousand times as large as it looks.
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(authorization) = sending.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if sending.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::from(sending.body.unwrap_or_default()))
            .map_err(|error| PeerError::Nonsense(format!("this cannot be asked for: {error}")))?;
        let answered = timeout_at(sending.deadline, self.client().request(request)).await;
        let answer = answered
            .map_err(|_| PeerError::TooSlow)?
            .map_err(|error| reason(&error))?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            let said = whole(body, REFUSAL_BYTES_MAX, sending.deadline).await;
            return Err(refusal(head.status.as_u16(), &said.unwrap_or_default()));
        }
        if is_compressed(&head.headers) {
            return Err(PeerError::Nonsense("the answer is compressed".to_owned()));
        }
        Ok((head, body))
    }

    fn client(&self) -> &Client<Connector, Full<Bytes>> {
        self.client.get_or_init(|| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(IDLE_MAX)
                .set_host(false)
                .build(self.connector.clone())
        })
    }
}

async fn whole(body: Incoming, bytes_max: usize, deadline: Instant) -> Result<Bytes, PeerError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(PeerError::TooLarge);
    }
    let collected = timeout_at(deadline, Limited::new(body, bytes_max).collect()).await;
    match collected.map_err(|_| PeerError::TooSlow)? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(PeerError::TooLarge),
        Err(error) => Err(breaks_off(&error)),
    }
}

fn breaks_off(error: &dyn std::fmt::Display) -> PeerError {
    PeerError::Unreachable(format!("the answer breaks off: {error}"))
}

/// A body of which a part has been taken.
struct Rest {
    body: Incoming,
    left: u64,
}

impl Rest {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, PeerError> {
        loop {
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| breaks_off(&error))?;
            // What is no data are trailers, which nobody wants.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let left = self.left.checked_sub(piece.len() as u64);
            self.left = left.ok_or(PeerError::TooLarge)?;
            return Ok(Some((piece, self)));
        }
    }
}

fn is_compressed(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// What a server says when it refuses.
fn refusal(status: u16, body: &[u8]) -> PeerError {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| -> String {
        let text = said[name].as_str().unwrap_or_default();
        text.chars().take(SAID_CHARS_MAX).collect()
    };
    PeerError::Refused {
        status,
        errcode: text("errcode"),
        error: text("error"),
    }
}

/// Why there was no answer.
fn reason(error: &hyper_util::client::legacy::Error) -> PeerError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut last = error.to_string();
    while let Some(error) = cause {
        match error.downcast_ref::<ConnectError>() {
            Some(ConnectError::Denied) => return PeerError::Denied,
            Some(failure) => return PeerError::Unreachable(failure.to_string()),
            None => last = error.to_string(),
        }
        cause = error.source();
    }
    PeerError::Unreachable(last)
}

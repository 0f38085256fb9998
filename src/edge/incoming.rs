//! A request on its way to a handler.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::header,
    web::{BytesMut, Payload},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use playhouse_actors::house::{HouseError, LimitNotice};
use ruma::{
    ServerName,
    api::{IncomingRequest, IncomingRequestExt as _, error::ErrorCode},
};

use super::{
    app::App,
    caller::{Session, Visitor},
    endpoint::Endpoint,
    failure::{Failure, guest_forbidden},
    json,
};
use crate::{config::Blocking, pages::Language};

/// A request that has found its endpoint.
pub(crate) struct Incoming {
    pub(crate) app: Arc<App>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) request: HttpRequest,
    pub(super) payload: Option<Payload>,
    /// Path variables in the order of the template, percent-decoded.
    pub(super) path: Vec<String>,
    pub(super) address: IpAddr,
}

/// What a handler mounted by [`super::Routes::mount_fast`] gets.
pub(crate) struct Arguments {
    /// Path variables in the order of the template, percent-decoded.
    pub(crate) path: Vec<String>,
    /// The query string without access token.
    pub(crate) query: Option<String>,
    /// The body: UTF-8, of bounded size and depth, not yet parsed.
    pub(crate) body: Bytes,
}

/// A body that is read as it comes, within its bounds.
pub(crate) struct Upload {
    payload: Payload,
    length: Option<u64>,
    left: u64,
    pause: Duration,
}

impl Upload {
    /// How long it will be, when the client says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let piece = tokio::time::timeout(self.pause, self.payload.next())
            .await
            .map_err(|_| too_slow())?;
        let Some(piece) = piece else {
            return Ok(None);
        };
        let piece = piece.map_err(|error| Failure::bad_json(format!("body: {error}")))?;
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(too_large)?;
        Ok(Some(piece))
    }
}

impl Incoming {
    /// Who asks, as far as the connection tells.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor {
            address: self.address,
            user_agent: self
                .header(header::USER_AGENT)
                .map(|agent| agent.chars().take(200).collect())
                .unwrap_or_default(),
            language: Language::of(self.header(header::ACCEPT_LANGUAGE)),
        }
    }

    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Guests and rates.
    pub(super) async fn admit(&self, session: Option<&Session>) -> Result<(), Failure> {
        if session.is_some_and(|session| session.guest) && !self.endpoint.guests {
            return Err(guest_forbidden());
        }
        let is_admin = session.is_some_and(|session| session.admin);
        let blocking = &self.app.config.blocking;
        if blocking.closed && self.endpoint.is_closed() && !is_admin {
            let syncs = || {
                let mut paths = self.endpoint.paths.iter();
                paths.any(|path| path.ends_with("/sync"))
            };
            if let Some(session) = session.filter(|_| syncs()) {
                let notice = closed_notice(blocking);
                self.app.house.tell_limit_soon(&session.user_id, notice);
            }
            return Err(closed(blocking));
        }
        let limiter = &self.app.limiter;
        let user = session.map(|session| (session.user_id.as_str(), session.rate));
        limiter.take(self.endpoint.class, user, self.address).await
    }

    /// Notes that a user is active; refuses, where it matters, those for whom there is no place.
    pub(super) async fn admit_active(&self, session: Option<&Session>) -> Result<(), Failure> {
        let Some(session) = session.filter(|session| session.bridge.is_none()) else {
            return Ok(());
        };
        match self.app.house.note_active(&session.known).await {
            Ok(()) => Ok(()),
            Err(full @ HouseError::TooManyActive { .. }) if self.endpoint.is_closed() => {
                Err(full.into())
            }
            Err(HouseError::TooManyActive { .. }) => Ok(()),
            // It is noted with the next request: nobody is kept from the server by a list that does not answer.
            Err(error) => {
                tracing::warn!(%error, "cannot note that a user is active");
                Ok(())
            }
        }
    }

    /// The rate of an address of which it is not known yet which server is there.
    pub(super) fn admit_stranger(&self) -> Result<(), Failure> {
        self.app.limiter.take_server(self.address)
    }

    /// The rate of another server.
    pub(super) fn admit_peer(&self, origin: &ServerName) -> Result<(), Failure> {
        self.app.limiter.take_server(origin.as_str())
    }

    /// All headers of a name, as far as they are text.
    pub(super) fn headers(&self, name: header::HeaderName) -> Vec<String> {
        let values = self.request.headers().get_all(name);
        values
            .filter_map(|value| value.to_str().ok())
            .map(ToOwned::to_owned)
            .collect()
    }

    /// The method in capitals.
    pub(super) fn method(&self) -> &str {
        self.request.method().as_str()
    }

    /// Path and query exactly as they were asked for.
    pub(super) fn path_and_query(&self) -> String {
        let uri = self.request.uri();
        uri.path_and_query()
            .map_or_else(|| uri.path().to_owned(), ToString::to_string)
    }

    fn length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.parse().ok()
    }

    fn body_bytes_max(&self) -> u64 {
        let limits = &self.app.config.limits;
        self.endpoint
            .body_bytes_max
            .unwrap_or(limits.body_bytes_max)
    }

    fn body_timeout(&self) -> Duration {
        let limits = &self.app.config.limits;
        let timeout_ms = self.endpoint.body_timeout_ms;
        Duration::from_millis(timeout_ms.unwrap_or(limits.body_timeout_ms))
    }

    /// The whole body, fit for the endpoint's parser.
    pub(super) async fn json_body(&mut self) -> Result<Bytes, Failure> {
        let depth_max = self.app.config.limits.json_depth_max;
        let body = self.whole_body(depth_max).await?;
        self.check_fields(&body)?;
        Ok(body)
    }

    /// Fails unless the body is an object with the fields that the endpoint takes for granted.
    pub(super) fn check_fields(&self, body: &[u8]) -> Result<(), Failure> {
        json::check_fields(body, self.endpoint.fields)
    }

    /// The whole body, fit for a JSON parser: what a server has signed, whatever it is.
    pub(super) async fn signed_body(&mut self) -> Result<Bytes, Failure> {
        let depth_max = self.app.config.limits.peer_json_depth_max();
        self.whole_body(depth_max).await
    }

    async fn whole_body(&mut self, depth_max: u64) -> Result<Bytes, Failure> {
        let Some(payload) = self.payload.take() else {
            return Ok(Bytes::new());
        };
        let bytes_max = self.body_bytes_max();
        if self.length().is_some_and(|length| length > bytes_max) {
            return Err(too_large());
        }
        let body = tokio::time::timeout(self.body_timeout(), collect(payload, bytes_max))
            .await
            .map_err(|_| too_slow())??;
        json::check(&body, depth_max as usize)?;
        Ok(body)
    }

    pub(super) async fn arguments(&mut self) -> Result<Arguments, Failure> {
        let body = self.json_body().await?;
        Ok(self.arguments_with(body))
    }

    /// What there is besides the body, which was read before.
    pub(super) fn arguments_with(&mut self, body: Bytes) -> Arguments {
        Arguments {
            body,
            path: std::mem::take(&mut self.path),
            query: self.query().map(str::to_owned),
        }
    }

    pub(super) fn upload(&mut self) -> Result<Upload, Failure> {
        let bytes_max = self.body_bytes_max();
        if self.length().is_some_and(|length| length > bytes_max) {
            return Err(too_large());
        }
        let payload = self
            .payload
            .take()
            .ok_or_else(|| Failure::internal("body was taken already"))?;
        Ok(Upload {
            length: self.length(),
            payload,
            left: bytes_max,
            pause: self.body_timeout(),
        })
    }

    /// The query string. Contains the access token of old clients.
    pub(super) fn query(&self) -> Option<&str> {
        self.request.uri().query()
    }

    /// What ruma reads: method, query, and the few headers that requests are made of. Copying the whole head costs more than parsing it.
    pub(super) fn as_http<'a>(
        &self,
        method: http::Method,
        body: &'a [u8],
    ) -> Result<http::Request<&'a [u8]>, Failure> {
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        if let Some(query) = self.query() {
            *request.uri_mut() = format!("/?{}", without_token(query))
                .parse()
                .map_err(|_| Failure::invalid_param("query is malformed"))?;
        }
        for (theirs, ours) in [
            (header::CONTENT_TYPE, http::header::CONTENT_TYPE),
            (header::ACCEPT_LANGUAGE, http::header::ACCEPT_LANGUAGE),
        ] {
            if let Some(value) = self.request.headers().get(theirs)
                && let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes())
            {
                request.headers_mut().insert(ours, value);
            }
        }
        Ok(request)
    }
}

impl Arguments {
    /// The same as a typed request, for handlers that need of the query or the body what its type leaves out.
    pub(crate) fn typed<R: IncomingRequest>(&self) -> Result<R, Failure> {
        let body: &[u8] = if self.body.is_empty() {
            b"{}"
        } else {
            &self.body
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = R::METHOD;
        if let Some(query) = &self.query {
            *request.uri_mut() = format!("/?{}", without_token(query))
                .parse()
                .map_err(|_| Failure::invalid_param("query is malformed"))?;
        }
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        Ok(R::try_from_http_request(request, &path)?)
    }
}

/// Requests are parsed without the token, so that those made of the whole query do not contain it.
fn without_token(query: &str) -> std::borrow::Cow<'_, str> {
    if !query.contains("access_token=") {
        return query.into();
    }
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("access_token="))
        .collect();
    kept.join("&").into()
}

async fn collect(mut payload: Payload, bytes_max: u64) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| Failure::not_json(format!("body: {error}")))?;
        if (first.len() + whole.len() + piece.len()) as u64 > bytes_max {
            return Err(too_large());
        }
        if first.is_empty() && whole.is_empty() {
            // Most bodies come in one piece, which is passed on as it is.
            first = piece;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&piece);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

fn too_large() -> Failure {
    Failure::new(ErrorCode::TooLarge, "body is too large")
}

fn too_slow() -> Failure {
    Failure::new(ErrorCode::Unknown, "body did not arrive in time").with_status(408)
}

/// What the user's notice room tells of it.
fn closed_notice(blocking: &Blocking) -> LimitNotice {
    LimitNotice {
        message: blocking.message.clone(),
        limit_type: "hs_disabled",
        admin_contact: blocking.admin_contact.clone(),
    }
}

/// The server is closed for a while.
fn closed(blocking: &Blocking) -> Failure {
    let failure = Failure::new(ErrorCode::ResourceLimitExceeded, blocking.message.clone());
    let failure = failure.with("limit_type", "hs_disabled");
    match &blocking.admin_contact {
        Some(contact) => failure.with("admin_contact", contact.as_str()),
        None => failure,
    }
}

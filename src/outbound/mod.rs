//! Requests of the server itself: to what the operator named, and to places that strangers name (pages to preview, identity servers).
//!
//! Owns that nothing private is reached, however it is spelled, and that every answer is bounded in time and size. Must not know what is asked for, or why.

mod addresses;
mod client;
mod gateways;
mod postman;
mod resolver;
mod rules;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Response,
    header::{self, HeaderValue},
};
use tokio::time::{Instant, timeout_at};
use url::Url;

pub(crate) use self::{
    addresses::AddressRules,
    client::{Client, Trust, guarded},
    gateways::Gateways,
    postman::HousePostman,
    resolver::{Looking, Lookup, SystemLookup},
    rules::{Ports, Rules, UrlPattern, glob},
};

/// So many redirects are followed.
const REDIRECTS_MAX: usize = 5;

/// A connection must stand after this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A longer URL is not asked for.
const URL_BYTES_MAX: usize = 4_096;

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutboundError {
    /// It is no URL.
    #[error("this is no URL that can be asked for")]
    NotAUrl,
    /// It must not be asked for.
    #[error("{0}")]
    Refused(&'static str),
    /// The name has no address.
    #[error("the host is unknown")]
    Unresolved,
    /// No connection, or one that broke.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The time is up.
    #[error("the host is too slow")]
    TooSlow,
    /// The answer is larger than wanted.
    #[error("the answer is too large")]
    TooLarge,
    /// It leads from one place to the next.
    #[error("too many redirects")]
    TooManyRedirects,
    /// The answer is compressed, though nobody asked for that.
    #[error("the answer is compressed")]
    Compressed,
    /// It answers, but not with what was asked for.
    #[error("the host answers with status {0}")]
    Status(u16),
}

/// What is asked for, and how much of it.
pub(crate) struct Wanted<'a> {
    /// The `Accept` header.
    pub(crate) accept: &'static str,
    /// The `Accept-Language` header.
    pub(crate) language: Option<&'a str>,
    /// A larger answer is refused.
    pub(crate) bytes_max: u64,
    /// When the last byte must be here.
    pub(crate) deadline: Instant,
}

/// A client that reaches public places only.
pub(crate) struct Outbound {
    http: Client,
    rules: Rules,
}

impl Outbound {
    /// A client with these rules.
    pub(crate) fn new(
        trust: &Arc<Trust>,
        rules: Rules,
        lookup: Arc<dyn Lookup>,
        user_agent: &'static str,
    ) -> Self {
        let guarded = (rules.addresses.clone(), lookup);
        let http = Client::for_strangers_choice(trust, guarded, move |builder| {
            builder
                .referer(false)
                .http1_only()
                // A name is resolved anew, and so judged anew, for each request.
                .pool_max_idle_per_host(0)
                .connect_timeout(CONNECT_WITHIN)
                .user_agent(user_agent)
        });
        Self { http, rules }
    }

    /// Reads and checks a URL.
    pub(crate) fn url(&self, text: &str) -> Result<Url, OutboundError> {
        if text.len() > URL_BYTES_MAX {
            return Err(OutboundError::NotAUrl);
        }
        let mut url = Url::parse(text).map_err(|_| OutboundError::NotAUrl)?;
        url.set_fragment(None);
        self.rules.check(&url)?;
        Ok(url)
    }

    /// Asks for a URL, following redirects. Every hop is checked as the first one.
    pub(crate) async fn get(
        &self,
        mut url: Url,
        wanted: &Wanted<'_>,
    ) -> Result<Fetched, OutboundError> {
        for _ in 0..=REDIRECTS_MAX {
            self.rules.check(&url)?;
            let response = self.once(&url, wanted).await?;
            if !response.status().is_redirection() {
                return Fetched::of(response, url, wanted);
            }
            let location = response.headers().get(header::LOCATION);
            let location = location
                .and_then(|location| std::str::from_utf8(location.as_bytes()).ok())
                .filter(|location| location.len() <= URL_BYTES_MAX)
                .ok_or(OutboundError::Status(response.status().as_u16()))?;
            url = url.join(location).map_err(|_| OutboundError::NotAUrl)?;
            url.set_fragment(None);
        }
        Err(OutboundError::TooManyRedirects)
    }

    async fn once(&self, url: &Url, wanted: &Wanted<'_>) -> Result<Response, OutboundError> {
        let mut request = self
            .http
            .get(url.clone())
            .header(header::ACCEPT, wanted.accept)
            // What is compressed may be a thousand times as large as it looks.
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(language) = wanted
            .language
            .and_then(|text| HeaderValue::from_str(text).ok())
        {
            request = request.header(header::ACCEPT_LANGUAGE, language);
        }
        timeout_at(wanted.deadline, request.send())
            .await
            .map_err(|_| OutboundError::TooSlow)?
            .map_err(|error| reason(&error))
    }
}

/// An answer whose body is still to come.
pub(crate) struct Fetched {
    /// Where it came from in the end.
    pub(crate) url: Url,
    /// The `Content-Type` header.
    pub(crate) content_type: Option<String>,
    /// The `Content-Disposition` header.
    pub(crate) content_disposition: Option<String>,
    /// The `Cache-Control` headers.
    pub(crate) cache_control: Option<String>,
    /// The `Expires` header.
    pub(crate) expires: Option<String>,
    response: Response,
    left: u64,
    deadline: Instant,
}

impl Fetched {
    fn of(response: Response, url: Url, wanted: &Wanted<'_>) -> Result<Self, OutboundError> {
        if response.status() != reqwest::StatusCode::OK {
            return Err(OutboundError::Status(response.status().as_u16()));
        }
        let headers = response.headers();
        let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        if encodings
            .filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
            .count()
            > 0
        {
            return Err(OutboundError::Compressed);
        }
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned);
        let content_disposition = headers
            .get(header::CONTENT_DISPOSITION)
            .and_then(|value| String::from_utf8(value.as_bytes().to_vec()).ok());
        let cache_control: Vec<&str> = headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let cache_control = (!cache_control.is_empty()).then(|| cache_control.join(","));
        let expires = headers.get(header::EXPIRES);
        // What cannot be read is a date that is none.
        let expires = expires.map(|value| value.to_str().unwrap_or_default().to_owned());
        Ok(Self {
            url,
            content_type,
            content_disposition,
            cache_control,
            expires,
            response,
            left: wanted.bytes_max,
            deadline: wanted.deadline,
        })
    }

    /// The length of the body, when it is told.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// From here on no more than so many bytes are taken.
    pub(crate) fn at_most(&mut self, bytes_max: u64) {
        self.left = self.left.min(bytes_max);
    }

    /// From here on the last byte may come as late as this.
    pub(crate) fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, OutboundError> {
        if self.response.content_length().unwrap_or(0) > self.left {
            return Err(OutboundError::TooLarge);
        }
        let piece = timeout_at(self.deadline, self.response.chunk())
            .await
            .map_err(|_| OutboundError::TooSlow)?
            .map_err(|error| reason(&error))?;
        let Some(piece) = piece else {
            return Ok(None);
        };
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or(OutboundError::TooLarge)?;
        Ok(Some(piece))
    }

    /// The whole body.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>, OutboundError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

/// What of an error may be told: our own verdict when the resolver spoke one.
fn reason(error: &reqwest::Error) -> OutboundError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(verdict) = error.downcast_ref::<OutboundError>() {
            return *verdict;
        }
        cause = error.source();
    }
    if error.is_timeout() {
        OutboundError::TooSlow
    } else {
        OutboundError::Unreachable
    }
}

//! Endpoints that no ruma type describes: pages, forms, plain text. The handler gets the request as it came, its body bounded and read.

use std::{future::Future, sync::Arc};

use actix_web::http::{
    Method,
    header::{self, HeaderName},
};
use bytes::{Bytes, BytesMut};
use ruma::api::{auth_scheme::AccessTokenOptional, error::ErrorCode};
use url::form_urlencoded;

use super::{
    answer::Prepared,
    app::App,
    caller::{Caller, Session, Visitor},
    endpoint::Endpoint,
    failure::Failure,
    incoming::Incoming,
    mount::Routes,
};

/// So many bytes a body may have, unless the line that mounts it says otherwise.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// So many fields are read of a form or query.
const FIELDS_MAX: usize = 100;

/// A request to an open endpoint.
pub(crate) struct Visit {
    incoming: Incoming,
    /// The body.
    pub(crate) body: Bytes,
}

/// The fields of a form or of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text).into_owned();
        Self(pairs.take(FIELDS_MAX).collect())
    }

    /// The value of a field; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Visit {
    /// From where it comes.
    pub(crate) fn visitor(&self) -> Visitor {
        self.incoming.visitor()
    }

    /// A variable of the path, by its place.
    pub(crate) fn variable(&self, place: usize) -> &str {
        self.incoming.path.get(place).map_or("", String::as_str)
    }

    /// A header, if it is text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.incoming.header(name)
    }

    /// The query string.
    pub(crate) fn query_text(&self) -> &str {
        self.incoming.query().unwrap_or_default()
    }

    /// The fields of the query.
    pub(crate) fn query(&self) -> Fields {
        Fields::parse(self.query_text().as_bytes())
    }

    /// The media type of the body, without its parameters.
    pub(crate) fn content_type(&self) -> &str {
        let whole = self.header(header::CONTENT_TYPE).unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim()
    }

    /// The fields of a form in the body; `None` when the body is no form.
    pub(crate) fn form(&self) -> Option<Fields> {
        self.content_type()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            .then(|| Fields::parse(&self.body))
    }

    /// A cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.incoming.request.headers().get_all(header::COOKIE);
        cookies
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The session whose token the request carries, if it carries one.
    pub(crate) async fn session(&self) -> Result<Option<Session>, Failure> {
        <Option<Session> as Caller<AccessTokenOptional>>::identify(&self.incoming).await
    }
}

impl Routes {
    /// Mounts `async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure>`.
    pub(crate) fn mount_open<H, F>(
        &mut self,
        method: Method,
        path: &str,
        handle: H,
    ) -> &mut Endpoint
    where
        H: Fn(Arc<App>, Visit) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<Prepared, Failure>> + 'static,
    {
        let run = Box::new(move |mut incoming: Incoming| {
            let answer: std::pin::Pin<Box<dyn Future<Output = _>>> = Box::pin(async move {
                incoming.admit(None)?;
                let body = whole_body(&mut incoming).await?;
                let app = incoming.app.clone();
                let prepared = handle(app, Visit { incoming, body }).await?;
                Ok(prepared.into_response())
            });
            answer
        });
        self.push_at(method, vec![path.to_owned()], run)
            .body_bytes_max(BODY_BYTES_MAX)
    }
}

async fn whole_body(incoming: &mut Incoming) -> Result<Bytes, Failure> {
    let mut upload = incoming.upload()?;
    let mut body = BytesMut::new();
    while let Some(piece) = upload.next().await? {
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// The body as text.
pub(crate) fn text_of(body: &Bytes) -> Result<String, Failure> {
    String::from_utf8(body.to_vec())
        .map_err(|_| Failure::new(ErrorCode::InvalidParam, "body is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_bounded() {
        let fields = Fields::parse(b"a=1&b=x%20y+z&a=2&c=");
        assert_eq!(fields.get("a"), Some("1"));
        assert_eq!(fields.get("b"), Some("x y z"));
        assert_eq!(fields.get("c"), None);
        assert_eq!(fields.get("d"), None);
        let many = "a=1&".repeat(1_000);
        assert_eq!(Fields::parse(many.as_bytes()).iter().count(), FIELDS_MAX);
    }
}

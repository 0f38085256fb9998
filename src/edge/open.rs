//! Endpoints that no ruma type describes: pages, forms, plain text. The handler gets the request as it came, its body bounded and read.

use std::{future::Future, sync::Arc};

use actix_web::http::{
    Method,
    header::{self, HeaderName},
};
use bytes::{Bytes, BytesMut};
use ruma::api::{auth_scheme::AccessTokenOptional, error::ErrorCode};

use super::{
    answer::Prepared,
    app::App,
    browse::Fields,
    caller::{Caller, Session},
    endpoint::Endpoint,
    failure::Failure,
    incoming::Incoming,
    mount::Routes,
};

/// So many bytes a body may have, unless the line that mounts it says otherwise.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// A request to an open endpoint.
pub(crate) struct Visit {
    incoming: Incoming,
    /// The body.
    pub(crate) body: Bytes,
}

impl Visit {
    /// A variable of the path, by its place.
    pub(crate) fn variable(&self, place: usize) -> &str {
        self.incoming.path.get(place).map_or("", String::as_str)
    }

    /// A header, if it is text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.incoming.header(name)
    }

    /// The media type of the body, without its parameters.
    pub(crate) fn content_type(&self) -> &str {
        let whole = self.header(header::CONTENT_TYPE).unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim()
    }

    /// The fields of a form in the body; `None` when the body is no form.
    pub(crate) fn form(&self) -> Option<Fields> {
        let is_form = self
            .content_type()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let text = std::str::from_utf8(&self.body).ok()?;
        is_form.then(|| Fields::parse(text))
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
                incoming.admit(None).await?;
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

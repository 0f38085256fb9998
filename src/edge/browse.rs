//! Requests by people's browsers: forms come in, pages go out, and a refusal is a page too.

use std::{future::Future, pin::Pin, sync::Arc};

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{self, HeaderMap},
    },
};

use super::{
    answer::Prepared, app::App, caller::Visitor, endpoint::Endpoint, failure::Failure,
    incoming::Incoming, mount::Routes, route::percent_decoded,
};
use crate::pages::{self, Language};

/// A form has at most so many bytes.
const FORM_BYTES_MAX: u64 = 64 * 1024;

/// A form or a query has at most so many fields; more are not looked at.
const FIELDS_MAX: usize = 128;

type Answering = Pin<Box<dyn Future<Output = Result<HttpResponse, Failure>>>>;

/// A request by a person's browser.
#[derive(Debug)]
pub(crate) struct Browser {
    /// Who asks, as far as the connection tells.
    pub(crate) visitor: Visitor,
    /// Path variables in the order of the template, percent-decoded.
    pub(crate) path: Vec<String>,
    /// The query.
    pub(crate) query: Fields,
    /// The form that was sent; empty unless by POST.
    pub(crate) form: Fields,
    /// The language that the person reads best of those we have.
    pub(crate) language: Language,
    /// The `Host` header.
    pub(crate) host: Option<String>,
    cookies: Vec<(String, String)>,
}

impl Browser {
    /// The value of a cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let found = self.cookies.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Names and values of a form or a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`. What is not UTF-8 is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let decoded = |text: &str| percent_decoded(&text.replace('+', " "));
        let pairs = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .take(FIELDS_MAX);
        let fields = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        Self(fields.collect())
    }

    /// The first value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The first value of a name, `M_MISSING_PARAM` without one.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Failure> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Failure::missing_param(format!("{name} is missing")))
    }

    /// All names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.0.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Routes {
    /// Mounts `async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure>`, of which a failure is shown as a page.
    pub(crate) fn mount_page<H, F>(
        &mut self,
        method: Method,
        path: &str,
        handle: H,
    ) -> &mut Endpoint
    where
        H: Fn(Arc<App>, Browser) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<Prepared, Failure>> + 'static,
    {
        let run = Box::new(move |mut incoming: Incoming| {
            let answer: Answering = Box::pin(async move {
                let app = incoming.app.clone();
                let language = Language::of(incoming.header(header::ACCEPT_LANGUAGE));
                let outcome = match browser(&mut incoming, language).await {
                    Ok(browser) => handle(app.clone(), browser).await,
                    Err(failure) => Err(failure),
                };
                let page = outcome
                    .unwrap_or_else(|failure| pages::refusal(&app.pages, language, &failure));
                Ok(page.into_response())
            });
            answer
        });
        self.push_at(method, vec![path.to_owned()], run)
            .body_bytes_max(FORM_BYTES_MAX)
    }

    /// Mounts what a script on a page asks, with the browser's cookies: as [`Routes::mount_page`], but a failure is told as JSON.
    pub(crate) fn mount_script<H, F>(
        &mut self,
        method: Method,
        path: &str,
        handle: H,
    ) -> &mut Endpoint
    where
        H: Fn(Arc<App>, Browser) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<Prepared, Failure>> + 'static,
    {
        let run = Box::new(move |mut incoming: Incoming| {
            let answer: Answering = Box::pin(async move {
                let app = incoming.app.clone();
                let language = Language::of(incoming.header(header::ACCEPT_LANGUAGE));
                let browser = browser(&mut incoming, language).await?;
                Ok(handle(app, browser).await?.into_response())
            });
            answer
        });
        self.push_at(method, vec![path.to_owned()], run)
            .body_bytes_max(FORM_BYTES_MAX)
    }
}

async fn browser(incoming: &mut Incoming, language: Language) -> Result<Browser, Failure> {
    incoming.admit(None).await?;
    let form = if incoming.request.method() == Method::POST {
        let mut upload = incoming.upload()?;
        let mut body = Vec::new();
        while let Some(piece) = upload.next().await? {
            body.extend_from_slice(&piece);
        }
        let text =
            String::from_utf8(body).map_err(|_| Failure::invalid_param("the form is not UTF-8"))?;
        Fields::parse(&text)
    } else {
        Fields::default()
    };
    Ok(Browser {
        visitor: incoming.visitor(),
        path: std::mem::take(&mut incoming.path),
        query: Fields::parse(incoming.query().unwrap_or_default()),
        form,
        language,
        host: incoming.header(header::HOST).map(str::to_owned),
        cookies: cookies(incoming.request.headers()),
    })
}

fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers
        .get_all(header::COOKIE)
        .filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .take(FIELDS_MAX)
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn forms_are_decoded() {
        let fields = Fields::parse("a=1+2&b=%C3%A4%26&a=second&c&=d&bad=%FF");
        assert_eq!(fields.get("a"), Some("1 2"));
        assert_eq!(fields.get("b"), Some("ä&"));
        assert_eq!(fields.get("c"), Some(""));
        assert_eq!(fields.get("bad"), None);
        assert!(fields.need("c").is_err());
        assert_eq!(fields.iter().count(), 5);
    }
}

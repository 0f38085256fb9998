//! A browser of few words: it opens pages and sends their forms.

use reqwest::Method;

use super::{
    Client,
    client::{Answer, encode},
};

/// A page that was opened.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The text.
    pub(crate) html: String,
    /// The whole answer.
    pub(crate) answer: Answer,
    path: String,
}

impl Shown {
    fn of(path: &str, answer: Answer) -> Self {
        Self {
            status: answer.status,
            html: String::from_utf8_lossy(&answer.bytes).replace("&#x2f;", "/"),
            path: path.to_owned(),
            answer,
        }
    }

    /// The hidden fields of its form.
    fn hidden(&self) -> Vec<(String, String)> {
        let inputs = self.html.split("<input type=\"hidden\" ").skip(1);
        let value = |text: &str, name: &str| {
            let (_, rest) = text.split_once(&format!("{name}=\""))?;
            Some(unescaped(rest.split('"').next()?))
        };
        inputs
            .filter_map(|input| Some((value(input, "name")?, value(input, "value")?)))
            .collect()
    }

    /// Sends its form, with some fields filled in.
    pub(crate) async fn send(&self, client: &Client, fields: &[(&str, &str)]) -> Self {
        let hidden = self.hidden();
        let hidden = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<String> = hidden
            .chain(fields.iter().copied())
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = pairs.join("&").into_bytes();
        let answer = client
            .with_headers(Method::POST, &self.path, &headers, body)
            .await;
        Self::of(&self.path, answer)
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&#x2f;", "/")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

impl Client {
    /// Opens a page in a language.
    pub(crate) async fn open(&self, path: &str, language: &str) -> Shown {
        let headers = [("accept-language", language)];
        let answer = self
            .with_headers(Method::GET, path, &headers, Vec::new())
            .await;
        Shown::of(path, answer)
    }
}

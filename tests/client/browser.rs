//! A person's browser: keeps cookies, shows forms, follows nothing by itself.

use reqwest::{Method, redirect::Policy};

use crate::harness::{Client, client::encode};

/// A person's browser: keeps cookies and follows nothing by itself.
pub(crate) struct Browser {
    http: reqwest::Client,
    base: String,
    cookies: std::sync::Mutex<Vec<(String, String)>>,
}

/// What a browser got.
pub(crate) struct Shown {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Where it is sent.
    pub(crate) location: String,
    /// The page.
    pub(crate) html: String,
}

impl Browser {
    /// A browser without cookies.
    pub(crate) fn new(client: &Client) -> Self {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .build()
            .expect("a client can be built");
        Self {
            http,
            base: client.base().to_owned(),
            cookies: std::sync::Mutex::default(),
        }
    }

    /// The cookies it has.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        self.cookies.lock().expect("nobody panicked").clone()
    }

    /// The same with these cookies and no others.
    pub(crate) fn with_cookies(self, cookies: Vec<(String, String)>) -> Self {
        *self.cookies.lock().expect("nobody panicked") = cookies;
        self
    }

    async fn send(&self, method: Method, path: &str, form: Option<String>) -> Shown {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        let cookies: Vec<String> = {
            let cookies = self.cookies.lock().expect("nobody panicked");
            let pairs = cookies.iter();
            pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(form) = form {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
        }
        let response = request.send().await.expect("the server answers");
        for set in response.headers().get_all("set-cookie") {
            let set = set.to_str().expect("text");
            assert!(
                set.contains("HttpOnly") && set.contains("SameSite=Lax"),
                "{set}"
            );
            let pair = set.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a name and a value");
            let mut cookies = self.cookies.lock().expect("nobody panicked");
            cookies.retain(|(known, _)| known != name);
            cookies.push((name.to_owned(), value.to_owned()));
        }
        let location = response.headers().get("location");
        Shown {
            status: response.status().as_u16(),
            location: location
                .map_or("", |value| value.to_str().expect("text"))
                .to_owned(),
            html: response.text().await.expect("text"),
        }
    }

    /// Opens a path.
    pub(crate) async fn open(&self, path: &str) -> Shown {
        self.send(Method::GET, path, None).await
    }

    /// Posts a form to a path, as a page of another site does.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        self.send(Method::POST, path, Some(form)).await
    }

    /// Fills in the first form of a page and sends it.
    pub(crate) async fn submit(&self, page: &Shown, filled: &[(&str, &str)]) -> Shown {
        let (action, mut fields) = form_of(&page.html);
        for (name, value) in filled {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        self.send(Method::POST, &action, Some(form)).await
    }

    /// Signs in on the page that is shown, and opens where it leads.
    pub(crate) async fn sign_in(&self, page: &Shown, user: &str) -> Shown {
        assert_eq!(page.status, 200, "{}", page.html);
        let filled = [("user", user), ("password", "correct horse")];
        let led = self.submit(page, &filled).await;
        assert_eq!(led.status, 303, "{}", led.html);
        self.open(&led.location).await
    }
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (code, letter) in [
        ("&#x2f;", "/"),
        ("&#x27;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        text = text.replace(code, letter);
    }
    text
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(unescaped(rest.split('"').next()?))
}

/// Where the first form of a page leads, and what is filled in.
fn form_of(html: &str) -> (String, Vec<(String, String)>) {
    let (_, form) = html
        .split_once("<form")
        .unwrap_or_else(|| panic!("no form: {html}"));
    let form = form.split("</form>").next().unwrap_or_default();
    let action =
        attribute(form.split('>').next().unwrap_or_default(), "action").expect("an action");
    let fields = form.split("<input").skip(1).filter_map(|tag| {
        let tag = tag.split('>').next()?;
        let value = attribute(tag, "value").unwrap_or_default();
        Some((attribute(tag, "name")?, value))
    });
    (action, fields.collect())
}

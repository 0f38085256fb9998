//! Cookies of pages that know a browser again.

use actix_web::http::header::{HeaderName, HeaderValue, SET_COOKIE};

/// A cookie to be set. Scripts and requests from other sites never see it, except that a link leads here with it.
#[derive(Clone, Debug)]
pub(crate) struct Cookie<'a> {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its value: letters, digits, `-`, `_` and `.`. An empty one ends the cookie.
    pub(crate) value: &'a str,
    /// The paths it is for.
    pub(crate) path: &'static str,
    /// It ends after so many seconds.
    pub(crate) lifetime_s: u64,
    /// Only over TLS.
    pub(crate) secure: bool,
    /// A form that another site posts here carries it too: without TLS browsers do not allow that.
    pub(crate) cross_site: bool,
}

impl Cookie<'_> {
    /// The header that sets it.
    pub(crate) fn header(&self) -> (HeaderName, HeaderValue) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let value: String = self
            .value
            .bytes()
            .filter(|byte| plain(*byte))
            .map(char::from)
            .collect();
        let lifetime_s = if value.is_empty() { 0 } else { self.lifetime_s };
        let secure = if self.secure { "; Secure" } else { "" };
        let sites = match self.cross_site && self.secure {
            true => "None",
            false => "Lax",
        };
        let text = format!(
            "{}={value}; Path={}; Max-Age={lifetime_s}; HttpOnly; SameSite={sites}{secure}",
            self.name, self.path
        );
        let header = HeaderValue::from_str(&text)
            .expect("letters, digits and punctuation are a header value");
        (SET_COOKIE, header)
    }
}

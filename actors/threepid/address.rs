//! Addresses in the one form in which they are compared, and the names that follow from them.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest as hash};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// An address has at most so many bytes (RFC 5321, section 4.5.3.1).
const EMAIL_BYTES_MAX: usize = 254;

/// A phone number has so many digits (ITU-T E.164).
const DIGITS: std::ops::RangeInclusive<usize> = 4..=15;

/// How something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// By e-mail.
    Email,
    /// By phone.
    Msisdn,
}

impl Medium {
    /// `email` or `msisdn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Msisdn => "msisdn",
        }
    }
}

/// A medium and an address in canonical form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// How something is sent there.
    pub medium: Medium,
    /// E-mail addresses in lower case, phone numbers in digits with the country's.
    pub address: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs never hold addresses.
        f.debug_struct("Address")
            .field("medium", &self.medium)
            .finish_non_exhaustive()
    }
}

impl Address {
    /// An address of a medium by its name. `None` when it cannot be one.
    pub fn new(medium: &str, address: &str) -> Option<Self> {
        match medium {
            "email" => Self::email(address),
            "msisdn" => Self::msisdn(address),
            _ => None,
        }
    }

    /// An e-mail address.
    pub fn email(address: &str) -> Option<Self> {
        let address = address.trim().to_lowercase();
        let (local, domain) = address.split_once('@')?;
        let stray = |c: char| c.is_whitespace() || c.is_control() || "@<>()[]\\,;:\"".contains(c);
        let fits = !local.is_empty()
            && !domain.is_empty()
            && address.len() <= EMAIL_BYTES_MAX
            && !local.contains(stray)
            && !domain.contains(stray)
            && !domain.starts_with('.')
            && !domain.ends_with('.');
        fits.then_some(Self {
            medium: Medium::Email,
            address,
        })
    }

    /// A phone number with its country's digits.
    pub fn msisdn(number: &str) -> Option<Self> {
        let plain = |c: &char| !" -()/.".contains(*c);
        let digits: String = number
            .trim_start_matches('+')
            .chars()
            .filter(plain)
            .collect();
        let fits = DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        fits.then_some(Self {
            medium: Medium::Msisdn,
            address: digits,
        })
    }

    /// The name under which the log knows it.
    pub fn name(&self) -> String {
        digest(&format!("{}:{}", self.medium.as_str(), self.address))
    }
}

/// The ID of a session in which an address is validated. It follows from the address, the purpose and the client's secret, so that a repeated request
/// finds the session of the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionId {
    /// The name of the address.
    pub name: String,
    /// The session within it.
    pub session: String,
}

impl SessionId {
    /// The session of a client.
    pub fn of(address: &Address, purpose: &str, client_secret: &str) -> Self {
        Self {
            name: address.name(),
            session: digest(&format!("{purpose}:{client_secret}")),
        }
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, session) = text.split_once('.')?;
        let is_digest = |text: &str| {
            URL_SAFE_NO_PAD
                .decode(text)
                .is_ok_and(|bytes| bytes.len() == SHA256.output_len())
        };
        (is_digest(name) && is_digest(session)).then(|| Self {
            name: name.to_owned(),
            session: session.to_owned(),
        })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.session)
    }
}

/// SHA-256 in base64 for URLs.
pub fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(hash(&SHA256, text.as_bytes()).as_ref())
}

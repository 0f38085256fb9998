//! What a URL that a stranger chose may look like, before anything is resolved.

use std::net::IpAddr;

use url::{Host, Url};

use super::{OutboundError, addresses::AddressRules};

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// Reads `443` or `1024-65535`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ports = Self {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
        };
        (ports.first <= ports.last).then_some(ports)
    }
}

/// A pattern of URLs: `scheme://host/path`, of which scheme and path may be missing, with `*` for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlPattern {
    scheme: String,
    host: String,
    path: String,
}

impl UrlPattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("*", text));
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) => (host, format!("/{path}")),
            None => (rest, "*".to_owned()),
        };
        let or_any = |part: &str| if part.is_empty() { "*" } else { part }.to_ascii_lowercase();
        (!text.trim().is_empty()).then(|| Self {
            scheme: or_any(scheme),
            host: or_any(host),
            path,
        })
    }

    /// Whether a URL is meant.
    pub(crate) fn matches(&self, url: &Url) -> bool {
        // A trailing dot names the same host.
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        glob(&self.scheme, url.scheme()) && glob(&self.host, host) && glob(&self.path, &path)
    }
}

/// Whether a text is as a pattern in which `*` stands for anything. Takes pattern × text steps at most.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            star = Some((at_pattern, at_text));
            at_pattern += 1;
        } else if pattern.get(at_pattern) == Some(&text[at_text]) {
            at_pattern += 1;
            at_text += 1;
        } else if let Some((star_at, taken_to)) = star {
            // The last star takes one character more.
            star = Some((star_at, taken_to + 1));
            at_pattern = star_at + 1;
            at_text = taken_to + 1;
        } else {
            return false;
        }
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

/// All that is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Addresses.
    pub(crate) addresses: AddressRules,
    /// Ports that may be connected to.
    pub(crate) ports: Vec<Ports>,
    /// URLs that are refused.
    pub(crate) deny_urls: Vec<UrlPattern>,
}

impl Rules {
    /// Refuses what must not be asked for. Names are judged again once they are resolved.
    pub(crate) fn check(&self, url: &Url) -> Result<(), OutboundError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OutboundError::Refused("only http and https are asked"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::Refused("the URL has credentials in it"));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if !self
            .ports
            .iter()
            .any(|ports| (ports.first..=ports.last).contains(&port))
        {
            return Err(OutboundError::Refused("this port is not asked"));
        }
        if self.deny_urls.iter().any(|pattern| pattern.matches(url)) {
            return Err(OutboundError::Refused("this URL is not asked"));
        }
        let address: IpAddr = match url.host() {
            None => return Err(OutboundError::Refused("the URL names no host")),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
        };
        if self.addresses.permit(address) {
            Ok(())
        } else {
            Err(OutboundError::Refused("this address is not asked"))
        }
    }
}

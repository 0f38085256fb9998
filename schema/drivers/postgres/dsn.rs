//! Addresses of servers: what they say of TLS, which the driver's own parser does not know, and how a connection is made.
//!
//! The words are those of PostgreSQL's own library (libpq). Two things differ: without `sslmode` a server on this machine is spoken to as it is, since TLS
//! within a machine only costs, and no file of a home folder is read.

use std::{error::Error as _, net::IpAddr};

use tokio_postgres::{
    Client, Config, Connection, Error, Socket,
    config::{Host, SslMode, SslNegotiation},
    error::SqlState,
};

use super::tls::{Connector, Session, TlsError};
use crate::port::StoreError;

/// What the driver says when TLS must be and the server has none.
const NO_TLS: &str = "server does not support TLS";

/// Instead of a file: the certificate authorities of the system.
const SYSTEM: &str = "system";

/// Whether TLS is spoken, and what is asked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Never.
    Disable,
    /// If the server has it, whoever the server is.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, with a server whose certificate a known authority has signed.
    VerifyCa,
    /// The same, and the certificate is for the name by which the server is reached.
    VerifyFull,
}

impl Mode {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [
            Self::Disable,
            Self::Prefer,
            Self::Require,
            Self::VerifyCa,
            Self::VerifyFull,
        ];
        let found = all.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| {
            unfit("sslmode must be disable, prefer, require, verify-ca or verify-full")
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn for_driver(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

/// Refuses an address. What is said must not repeat anything of it but names of files: it holds a password.
fn unfit(why: &str) -> StoreError {
    StoreError::Incompatible(format!("the PostgreSQL address: {why}"))
}

fn malformed() -> StoreError {
    StoreError::Incompatible("the PostgreSQL address is malformed".into())
}

/// A server, or several of which one answers, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Address {
    /// All but TLS.
    pub(super) config: Config,
    mode: Mode,
    connector: Connector,
}

impl Address {
    /// Reads `postgres://…` or `key=value` pairs, and the files that they name.
    pub(super) fn parse(dsn: &str) -> Result<Self, StoreError> {
        let (rest, wishes) = Wishes::split(dsn)?;
        // What the parser says may repeat the password.
        let mut config: Config = rest.parse().map_err(|_| malformed())?;
        if config.get_hosts().is_empty() {
            // The driver asks for a name before it speaks TLS.
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        let mode = wishes.mode(&config)?;
        config.ssl_mode(mode.for_driver());
        let connector = match mode {
            Mode::Disable => Connector::none(),
            _ => wishes.connector(mode)?,
        };
        Ok(Self {
            config,
            mode,
            connector,
        })
    }

    /// Connects. Who only prefers TLS goes on without it when the server has it and it does not come about, or the server lets nobody in over it.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Session>), Error> {
        let made = self.config.connect(self.connector.clone()).await;
        match made {
            Err(error) if self.mode == Mode::Prefer && is_because_of_tls(&error) => {
                let mut plain = self.config.clone();
                plain.ssl_mode(SslMode::Disable);
                plain.connect(self.connector.clone()).await
            }
            made => made,
        }
    }

    /// Why there will never be a connection as the address wants it: TLS is missing or the certificate is wrong. `None` for any other error.
    pub(super) fn refusal(&self, error: &Error) -> Option<String> {
        let source = error.source()?;
        if let Some(error) = source.downcast_ref::<TlsError>() {
            return error.is_final.then(|| error.to_string());
        }
        (source.to_string() == NO_TLS).then(|| {
            format!(
                "{} offers no TLS, and sslmode={} asks for it",
                self.hosts(),
                self.mode.name()
            )
        })
    }

    fn hosts(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(host) => host.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        });
        hosts.collect::<Vec<_>>().join(", ")
    }
}

/// Whether there may be a connection without TLS where there was none with it.
fn is_because_of_tls(error: &Error) -> bool {
    let source = error.source();
    source.is_some_and(|source| source.is::<TlsError>())
        // The rules of access of the server may let nobody in over TLS.
        || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// What an address says of TLS.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    mode: Option<Mode>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Wishes {
    /// Takes them out of an address.
    fn split(dsn: &str) -> Result<(String, Self), StoreError> {
        let mut wishes = Self::default();
        let is_url = dsn.starts_with("postgres://") || dsn.starts_with("postgresql://");
        let rest = if is_url {
            wishes.take_from_url(dsn)?
        } else {
            wishes.take_from_pairs(dsn)?
        };
        Ok((rest, wishes))
    }

    /// Takes one, if it is one of these. What is empty is as if it were not there.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, StoreError> {
        let value = (!value.is_empty()).then(|| value.to_owned());
        match key {
            "sslmode" => self.mode = value.as_deref().map(Mode::parse).transpose()?,
            "sslrootcert" => self.roots = value,
            "sslcert" => self.certificate = value,
            "sslkey" => self.key = value,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_from_url(&mut self, url: &str) -> Result<String, StoreError> {
        // As the driver reads it: up to the first @ there are a user and a password, whatever is in them.
        let (user, rest) = url.split_at(url.find('@').unwrap_or(0));
        let Some((place, parameters)) = rest.split_once('?') else {
            return Ok(url.to_owned());
        };
        let mut kept = Vec::new();
        for parameter in parameters.split('&') {
            let is_taken = match parameter.split_once('=') {
                Some((key, value)) => {
                    let (key, value) = (decoded(key), decoded(value));
                    let (key, value) = key.zip(value).ok_or_else(malformed)?;
                    self.take(&key, &value)?
                }
                None => false,
            };
            if !is_taken {
                kept.push(parameter);
            }
        }
        let mark = if kept.is_empty() { "" } else { "?" };
        Ok(format!("{user}{place}{mark}{}", kept.join("&")))
    }

    fn take_from_pairs(&mut self, pairs: &str) -> Result<String, StoreError> {
        let mut kept = Vec::new();
        let mut rest = pairs.trim_start();
        while !rest.is_empty() {
            let is_end = |letter: char| letter.is_whitespace() || letter == '=';
            let (key, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
            let value = after.trim_start().strip_prefix('=');
            let value = value.ok_or_else(malformed)?.trim_start();
            let (value, after) = first_value(value).ok_or_else(malformed)?;
            if !self.take(key, &value)? {
                kept.push(rest.strip_suffix(after).unwrap_or(rest));
            }
            rest = after.trim_start();
        }
        Ok(kept.join(" "))
    }

    /// What is meant, and whether it goes together.
    fn mode(&self, config: &Config) -> Result<Mode, StoreError> {
        if self.certificate.is_some() != self.key.is_some() {
            return Err(unfit("sslcert and sslkey belong together"));
        }
        if is_socket(config) {
            return Ok(Mode::Disable);
        }
        let is_direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        match (self.mode, self.roots.as_deref()) {
            (None | Some(Mode::VerifyFull), Some(SYSTEM)) => Ok(Mode::VerifyFull),
            (Some(_), Some(SYSTEM)) => Err(unfit("sslrootcert=system needs sslmode=verify-full")),
            (None | Some(Mode::Prefer), Some(_)) => Err(unfit(
                "whoever is to be known by sslrootcert must be asked: say sslmode=verify-full as well",
            )),
            (None | Some(Mode::Prefer), None) if is_direct => Err(unfit(
                "sslnegotiation=direct needs sslmode=require or stricter",
            )),
            (Some(Mode::VerifyCa | Mode::VerifyFull), None) => Err(unfit(
                "to verify the server, say whose certificates count: sslrootcert=FILE, or sslrootcert=system",
            )),
            (Some(Mode::Require), Some(_)) => Ok(Mode::VerifyCa),
            (None, None) if is_here(config) => Ok(Mode::Disable),
            (None, None) => Ok(Mode::Prefer),
            (Some(mode), _) => Ok(mode),
        }
    }

    fn connector(&self, mode: Mode) -> Result<Connector, StoreError> {
        let roots = match mode {
            Mode::VerifyCa | Mode::VerifyFull => self.roots.as_deref(),
            Mode::Disable | Mode::Prefer | Mode::Require => None,
        };
        let roots = roots.map(|roots| (roots != SYSTEM).then_some(roots));
        let own = self.certificate.as_deref().zip(self.key.as_deref());
        let made = Connector::new(roots, mode == Mode::VerifyFull, own);
        made.map_err(|why| unfit(&why))
    }
}

/// Whether there is no network in between, over which TLS could be spoken.
fn is_socket(config: &Config) -> bool {
    let is_socket = |host: &Host| matches!(host, Host::Unix(_));
    config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is_socket)
}

/// Whether all servers are on this machine, as far as the address tells.
fn is_here(config: &Config) -> bool {
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(host) => {
            let address = host.parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    };
    let addresses = config.get_hostaddrs();
    if addresses.is_empty() {
        config.get_hosts().iter().all(is_here)
    } else {
        addresses.iter().all(IpAddr::is_loopback)
    }
}

/// What stands in a URL with percent signs.
fn decoded(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%'
            && let [high, low, beyond @ ..] = after
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            bytes.push((high * 16 + low) as u8);
            rest = beyond;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The value that a text begins with, in quotes or without, and what comes after it.
fn first_value(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let mut value = String::new();
    let mut letters = quoted.unwrap_or(text).chars();
    loop {
        let rest = letters.as_str();
        match letters.next() {
            Some('\'') if quoted.is_some() => return Some((value, letters.as_str())),
            Some(letter) if quoted.is_none() && letter.is_whitespace() => {
                return Some((value, rest));
            }
            Some('\\') => value.extend(letters.next()),
            Some(letter) => value.push(letter),
            None => return quoted.is_none().then_some((value, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(dsn: &str) -> Result<Mode, StoreError> {
        let (rest, wishes) = Wishes::split(dsn)?;
        wishes.mode(&rest.parse().unwrap())
    }

    fn why(dsn: &str) -> String {
        let refused = Address::parse(dsn).err();
        refused.map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn what_is_said_of_tls_is_taken_out() {
        let wishes = Wishes {
            mode: Some(Mode::VerifyFull),
            roots: Some("/etc/a b.crt".into()),
            certificate: Some("c".into()),
            key: Some("k".into()),
        };
        for (dsn, left) in [
            (
                "postgres://u:p?sslmode=x@h:1/d?sslmode=verify-full&sslrootcert=%2fetc/a%20b.crt&connect_timeout=3&ssl%63ert=c&sslkey=k",
                "postgres://u:p?sslmode=x@h:1/d?connect_timeout=3",
            ),
            (
                "postgresql://h?sslkey=k&sslcert=c&sslrootcert=/etc/a b.crt&sslmode=verify-full",
                "postgresql://h",
            ),
            (
                "host=h sslmode = verify-full password='a\\' sslmode=b' sslrootcert='/etc/a b.crt' sslcert=c  sslkey=k",
                "host=h password='a\\' sslmode=b'",
            ),
            (
                "sslrootcert=/etc/a\\ b.crt sslmode=verify-full sslcert='c'sslkey=k user=u",
                "user=u",
            ),
        ] {
            let (rest, found) = Wishes::split(dsn).unwrap();
            assert_eq!((rest.as_str(), &found), (left, &wishes), "{dsn}");
        }
        for dsn in [
            "postgres://h/d",
            "postgres://h/d?a=b&c",
            "host=h user='x y'",
        ] {
            let (rest, found) = Wishes::split(dsn).unwrap();
            assert_eq!((rest.as_str(), found), (dsn, Wishes::default()));
        }
    }

    #[test]
    fn modes_are_what_libpq_says() {
        for (dsn, expected) in [
            ("postgres://h/d", Mode::Prefer),
            ("postgres://h/d?sslmode=", Mode::Prefer),
            ("postgres://localhost/d", Mode::Disable),
            ("postgres://127.0.0.2,[::1]/d", Mode::Disable),
            ("postgres://localhost,h/d", Mode::Prefer),
            ("host=h hostaddr=127.0.0.1", Mode::Disable),
            ("host=localhost hostaddr=192.0.2.1", Mode::Prefer),
            ("postgres://localhost/d?sslmode=prefer", Mode::Prefer),
            ("postgres://h/d?sslmode=disable", Mode::Disable),
            ("postgres://h/d?sslmode=require", Mode::Require),
            (
                "postgres://h/d?sslmode=require&sslrootcert=f",
                Mode::VerifyCa,
            ),
            (
                "postgres://h/d?sslmode=verify-ca&sslrootcert=f",
                Mode::VerifyCa,
            ),
            ("postgres://h/d?sslrootcert=system", Mode::VerifyFull),
            ("postgres://%2Frun/d?sslmode=require", Mode::Disable),
            ("host=/run sslmode=verify-full sslrootcert=f", Mode::Disable),
        ] {
            assert_eq!(mode(dsn).unwrap(), expected, "{dsn}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_without_the_password() {
        for (parameters, word) in [
            ("sslmode=allow", "verify-full"),
            ("sslmode=secret", "sslmode must be"),
            ("sslmode=verify-full", "sslrootcert=system"),
            ("sslmode=verify-ca", "sslrootcert=FILE"),
            ("sslmode=verify-ca&sslrootcert=system", "needs sslmode"),
            ("sslmode=prefer&sslrootcert=f", "sslmode=verify-full"),
            ("sslrootcert=f", "sslmode=verify-full"),
            ("sslmode=require&sslcert=c", "belong together"),
            (
                "sslmode=verify-full&sslrootcert=/nowhere/ca.crt",
                "/nowhere/ca.crt",
            ),
            (
                "sslmode=require&sslcert=/nowhere/c&sslkey=/nowhere/k",
                "/nowhere/c",
            ),
            ("sslnegotiation=direct", "sslmode=require"),
            ("unheard-of=secret", "malformed"),
        ] {
            let said = why(&format!("postgres://u:secret@h/d?{parameters}"));
            assert!(said.contains(word), "{parameters}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
        assert!(why("host=h password='secret").contains("malformed"));
    }

    #[test]
    fn an_address_without_a_name_has_its_number() {
        let address = Address::parse("hostaddr=192.0.2.1,192.0.2.2 sslmode=require").unwrap();
        assert_eq!(address.hosts(), "192.0.2.1, 192.0.2.2");
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
    }
}

//! `[listen]`: the addresses on which the server answers.

use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

section! {
    /// The addresses on which the server answers. Port 0 takes any free port.
    "listen" Listen {
        /// `host:port` for clients.
        client: String = "127.0.0.1:8008".to_owned(), variable "PLAYHOUSE_LISTEN";
        /// A PEM file with the certificate chain: turns on TLS on the client listener. Read again on SIGHUP.
        client_tls_cert: Option<String> = None, sample "/etc/playhouse/client.crt";
        /// A PEM file with the private key to it.
        client_tls_key: Option<String> = None, sample "/etc/playhouse/client.key";
        /// TLS on the client listener with a certificate that comes by ACME: see `[acme]`.
        client_tls_acme: bool = false;
        /// `host:port` for other servers, with TLS. The client listener answers them too.
        federation: Option<String> = None, sample "0.0.0.0:8448", variable "PLAYHOUSE_FEDERATION_LISTEN";
        /// Speak plain HTTP on the federation listener: a proxy in front of it has the certificate.
        federation_plain: bool = false;
        /// A PEM file with the certificate chain for the federation listener. Read again on SIGHUP. Without it one is made for trials (`federation.crt` in the
        /// data folder), which other servers believe when they are told to.
        federation_tls_cert: Option<String> = None, sample "/etc/playhouse/federation.crt", variable "PLAYHOUSE_FEDERATION_TLS_CERT";
        /// A PEM file with the private key to it.
        federation_tls_key: Option<String> = None, sample "/etc/playhouse/federation.key", variable "PLAYHOUSE_FEDERATION_TLS_KEY";
        /// The certificate for the federation listener comes by ACME: see `[acme]`.
        federation_tls_acme: bool = false;
        /// `host:port` for Prometheus metrics. Without it `/metrics` on the client listener answers callers on this machine only.
        metrics: Option<String> = None, sample "127.0.0.1:9109";
        /// More listeners, each `{ address, resources, tls_cert, tls_key, tls_acme }`; resources are `client`, `federation`, `admin`, `media`, `metrics` and
        /// `health`.
        more: Vec<Listener> = Vec::new();
        /// Addresses or networks of reverse proxies whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<String> = Vec::new();
        /// Threads that read requests and write answers; 0 takes the number of cores, at most 4.
        workers: u64 = 0;
        /// Compress large JSON answers for clients that ask for it.
        compress: bool = true;
        /// Open connections at most, for each thread.
        connections_max: u64 = 25_000;
    }
}

/// One more listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `host:port`.
    pub address: String,
    /// What is answered there.
    pub resources: Vec<Resource>,
    /// A PEM file with the certificate chain: turns on TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<String>,
    /// A PEM file with the private key to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<String>,
    /// The certificate comes by ACME.
    #[serde(default)]
    pub tls_acme: bool,
}

impl Listen {
    /// Whether the client listener speaks TLS.
    pub(crate) fn client_has_tls(&self) -> bool {
        self.client_tls_acme || self.client_tls_cert.is_some()
    }

    /// Whether a certificate comes by ACME.
    pub(crate) fn has_acme(&self) -> bool {
        let mut more = self.more.iter();
        self.client_tls_acme || self.federation_tls_acme || more.any(|listener| listener.tls_acme)
    }
}

/// Something that a listener may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// The client-server API.
    Client,
    /// The server-server API.
    Federation,
    /// The administration API.
    Admin,
    /// Media of the client-server API.
    Media,
    /// Prometheus metrics.
    Metrics,
    /// Whether the server is well.
    Health,
}

impl Setting for Vec<Listener> {
    const FORM: Form = Form::Tables;
}

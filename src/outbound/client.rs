//! HTTP clients of the server itself. Each is built at its first use and all share one set of trusted certificates: to read the system's takes milliseconds
//! and a mebibyte, and most servers never ask anybody.

use std::{
    ops::Deref,
    sync::{Arc, LazyLock, OnceLock},
};

use reqwest::{ClientBuilder, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    addresses::AddressRules,
    resolver::{Guard, Lookup},
};

/// Whose certificates outgoing TLS believes: the system's authorities and those the operator adds.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    tls: OnceLock<ClientConfig>,
}

impl Trust {
    /// Reads the operator's own authorities (a PEM file), when there are any.
    pub(crate) fn open(extra_ca: Option<&str>) -> Result<Arc<Self>, String> {
        let Some(path) = extra_ca else {
            return Ok(Arc::default());
        };
        let unusable = |error: &dyn std::fmt::Display| format!("{path} cannot be used: {error}");
        let extra: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| unusable(&error))?;
        if extra.is_empty() {
            return Err(unusable(&"there is no certificate in it"));
        }
        let mut probe = RootCertStore::empty();
        for authority in &extra {
            let added = probe.add(authority.clone());
            added.map_err(|error| unusable(&error))?;
        }
        let tls = OnceLock::new();
        Ok(Arc::new(Self { extra, tls }))
    }

    /// How outgoing connections are secured.
    pub(crate) fn tls(&self) -> ClientConfig {
        self.tls.get_or_init(|| self.read()).clone()
    }

    fn read(&self) -> ClientConfig {
        ClientConfig::builder()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    /// Whose certificates are believed. Reads them anew: for connections that [`Trust::tls`] does not fit.
    pub(crate) fn roots(&self) -> RootCertStore {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let errors = found.errors.len();
            tracing::warn!(
                errors,
                "the system has no certificate authorities: nobody is believed"
            );
        }
        let mut roots = RootCertStore::empty();
        // The system's list may hold what rustls cannot use, which is then not believed.
        roots.add_parsable_certificates(found.certs);
        roots.add_parsable_certificates(self.extra.iter().cloned());
        roots
    }
}

/// A client that is built when it is needed.
pub(crate) struct Client(LazyLock<reqwest::Client, Box<dyn FnOnce() -> reqwest::Client + Send>>);

impl Client {
    /// For what the operator named, which may stand anywhere. Redirects are not followed.
    pub(crate) fn for_operators_choice(
        trust: &Arc<Trust>,
        more: impl FnOnce(ClientBuilder) -> ClientBuilder + Send + 'static,
    ) -> Self {
        let trust = trust.clone();
        Self(LazyLock::new(Box::new(move || {
            let builder = reqwest::Client::builder().redirect(redirect::Policy::none());
            more(builder.tls_backend_preconfigured(trust.tls()))
                .build()
                .expect("a client of fixed options and preconfigured TLS can be built")
        })))
    }

    /// For what strangers named: only addresses that the rules permit are connected to. Redirects are not followed and proxies not used: a proxy would
    /// resolve names itself.
    pub(crate) fn for_strangers_choice(
        trust: &Arc<Trust>,
        guard: (AddressRules, Arc<dyn Lookup>),
        more: impl FnOnce(ClientBuilder) -> ClientBuilder + Send + 'static,
    ) -> Self {
        Self::for_operators_choice(trust, move |builder| more(guarded(builder, guard)))
    }
}

/// Makes a client connect only to addresses that the rules permit, and use no proxy: see [`Client::for_strangers_choice`].
pub(crate) fn guarded(
    builder: ClientBuilder,
    (addresses, lookup): (AddressRules, Arc<dyn Lookup>),
) -> ClientBuilder {
    let guard = Guard {
        rules: addresses,
        lookup,
    };
    builder.dns_resolver(Arc::new(guard)).no_proxy()
}

impl Deref for Client {
    type Target = reqwest::Client;

    fn deref(&self) -> &reqwest::Client {
        &self.0
    }
}

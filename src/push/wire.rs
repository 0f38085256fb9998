//! How providers are connected to.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, Proxy, redirect};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{
    config::Config,
    outbound::{AddressRules, Lookup, Ports, Rules, SystemLookup, Trust, guarded},
};

/// A connection must stand after this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A provider must answer within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A connection that says nothing is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(60);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Makes clients for providers.
pub(super) struct Wire {
    trust: Arc<Trust>,
    proxy: Option<String>,
    rules: Rules,
}

impl Wire {
    /// As configured.
    pub(super) fn new(config: &Config, trust: &Arc<Trust>) -> Self {
        let outbound = &config.outbound;
        Self {
            trust: trust.clone(),
            proxy: config.push_gateway.proxy.clone(),
            rules: Rules {
                addresses: AddressRules::new(&outbound.allow_networks, &outbound.deny_networks),
                ports: outbound
                    .ports
                    .iter()
                    .filter_map(|ports| Ports::parse(ports))
                    .collect(),
                deny_urls: Vec::new(),
            },
        }
    }

    /// What a place that a stranger named must obey.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// For Apple: HTTP/2 and nothing else, perhaps with a certificate of ours (a PEM file with chain and key).
    pub(super) fn http2(&self, certificate: Option<&str>) -> Result<Client, String> {
        let mut tls = match certificate {
            Some(path) => self.with_certificate(path)?,
            None => self.trust.tls(),
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let builder = self.proxied(self.begin(tls))?;
        finish(
            builder
                .http2_prior_knowledge()
                .pool_idle_timeout(None::<Duration>)
                .http2_keep_alive_while_idle(true),
        )
    }

    /// For Google: HTTP/2 if it likes.
    pub(super) fn known(&self) -> Result<Client, String> {
        finish(self.proxied(self.begin(self.both()))?)
    }

    /// For places that strangers name. Behind a proxy it is the list of allowed ones that keeps them from what is private.
    pub(super) fn unknown(&self) -> Result<Client, String> {
        let builder = self.begin(self.both());
        if self.proxy.is_some() {
            return finish(self.proxied(builder)?);
        }
        let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
        finish(guarded(builder, (self.rules.addresses.clone(), lookup)))
    }

    fn both(&self) -> ClientConfig {
        let mut tls = self.trust.tls();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tls
    }

    fn begin(&self, tls: ClientConfig) -> ClientBuilder {
        Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            // A connection that died unnoticed would else take all requests down with it until the system gives it up.
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PONG_WITHIN)
            .user_agent(concat!("playhouse/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
    }

    fn proxied(&self, builder: ClientBuilder) -> Result<ClientBuilder, String> {
        let Some(proxy) = &self.proxy else {
            return Ok(builder);
        };
        // The error would tell the password.
        let proxy = Proxy::all(proxy).map_err(|_| "the proxy cannot be used".to_owned())?;
        Ok(builder.proxy(proxy))
    }

    fn with_certificate(&self, path: &str) -> Result<ClientConfig, String> {
        let unusable = |error: &dyn std::fmt::Display| format!("{path} cannot be used: {error}");
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| unusable(&error))?;
        if chain.is_empty() {
            return Err(unusable(&"there is no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_file(path).map_err(|error| unusable(&error))?;
        ClientConfig::builder()
            .with_root_certificates(self.trust.roots())
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(&error))
    }
}

fn finish(builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|error| error.to_string())
}

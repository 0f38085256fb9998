//! Certificates of a listener, exchangeable while it serves.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::StartError;

/// A certificate chain and its key, read from two files.
#[derive(Debug)]
pub(super) struct Certificates {
    cert_path: String,
    key_path: String,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn load(cert_path: &str, key_path: &str) -> Result<Arc<Self>, StartError> {
        let current = read(cert_path, key_path)?;
        Ok(Arc::new(Self {
            cert_path: cert_path.to_owned(),
            key_path: key_path.to_owned(),
            current: RwLock::new(current),
        }))
    }

    /// Reads the files again. Connections that are open keep what they have.
    pub(super) fn reload(&self) -> Result<(), StartError> {
        let fresh = read(&self.cert_path, &self.key_path)?;
        *self.current.write() = fresh;
        Ok(())
    }

    pub(super) fn path(&self) -> &str {
        &self.cert_path
    }

    pub(super) fn server_config(self: &Arc<Self>) -> ServerConfig {
        ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(self.clone())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

fn read(cert_path: &str, key_path: &str) -> Result<Arc<CertifiedKey>, StartError> {
    let unusable = |path: &str, error: &dyn std::fmt::Display| {
        StartError::Key(format!("{path} cannot be used for TLS: {error}"))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(cert_path, &error))?;
    if chain.is_empty() {
        return Err(unusable(cert_path, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| unusable(key_path, &error))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map(Arc::new)
        .map_err(|error| unusable(key_path, &error))
}

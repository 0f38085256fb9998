//! Certificates of a listener, exchangeable while it serves.

use std::sync::Arc;

use parking_lot::RwLock;
use ruma::ServerName;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{StartError, key_files::replace};
use crate::config::Config;

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

/// The files of a certificate for trials, made at the first start: nobody has signed it but itself.
pub(super) fn makeshift(config: &Config) -> Result<(String, String), StartError> {
    let paths = ["federation.crt", "federation.key"].map(|name| config.in_data_dir(name));
    if !paths.iter().all(|path| path.exists()) {
        let unusable = |error: rcgen::Error| {
            StartError::Key(format!("a certificate for trials cannot be made: {error}"))
        };
        let name = ServerName::parse(&config.server.name)
            .map_err(|error| StartError::Key(error.to_string()))?;
        let host = name.host().trim_start_matches('[').trim_end_matches(']');
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).map_err(unusable)?;
        replace(&paths[1], made.signing_key.serialize_pem())?;
        replace(&paths[0], made.cert.pem())?;
        tracing::warn!(
            path = %paths[0].display(),
            "made a certificate for trials: other servers must be told to believe it"
        );
    }
    let [cert, key] = paths.map(|path| path.to_string_lossy().into_owned());
    Ok((cert, key))
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
    let until_s = ends_at(&chain);
    let certified = certified(chain, key).map_err(|error| unusable(key_path, &error))?;
    if let Some(until_s) = until_s {
        let source = cert_path.to_owned();
        metrics::gauge!("playhouse_tls_certificate_not_after_seconds", "source" => source)
            .set(until_s as f64);
    }
    Ok(certified)
}

/// When the first certificate of a chain is good no more, seconds since the Unix epoch.
fn ends_at(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let parsed = x509_parser::parse_x509_certificate(chain.first()?);
    let (_, parsed) = parsed.ok()?;
    Some(parsed.validity().not_after.timestamp())
}

/// A chain with the key that belongs to its first certificate.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_for_trials_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data_dir = folder.path().to_string_lossy().into_owned();
        for name in ["a.example:8448", "1.2.3.4", "[::1]:1"] {
            config.server.name = name.to_owned();
            let (cert, key) = makeshift(&config).unwrap();
            Certificates::load(&cert, &key).unwrap();
            let made = std::fs::read(&cert).unwrap();
            assert_eq!(makeshift(&config).unwrap(), (cert.clone(), key));
            assert_eq!(std::fs::read(&cert).unwrap(), made);
            std::fs::remove_file(cert).unwrap();
        }
    }
}

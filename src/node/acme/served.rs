//! What listeners show: the certificate of today, and to the authority the proof that a name is ours.

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_acme::{ResolvesServerCertAcme, is_tls_alpn_challenge};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{self, PemObject as _},
};

use crate::node::{StartError, tls::certified};

/// A certificate with its time, in seconds since the Unix epoch.
#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    from_s: i64,
    until_s: i64,
}

/// Exchangeable while listeners serve. Connections that are open keep what they have.
#[derive(Debug)]
pub(super) struct Served {
    current: RwLock<Current>,
    proofs: RwLock<Option<Arc<ResolvesServerCertAcme>>>,
}

impl Served {
    /// A certificate that nobody has signed but itself, due for exchange at once. It is kept nowhere.
    pub(super) fn without_authority(domains: &[String]) -> Result<Self, StartError> {
        let unusable = |error: &dyn std::fmt::Display| {
            StartError::Key(format!(
                "a certificate for the meantime cannot be made: {error}"
            ))
        };
        let made = rcgen::generate_simple_self_signed(domains).map_err(|error| unusable(&error))?;
        let secret = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let chain = vec![made.cert.der().clone()];
        let key = certified(chain, secret.into()).map_err(|error| unusable(&error))?;
        Ok(Self {
            current: RwLock::new(Current {
                key,
                from_s: 0,
                until_s: 0,
            }),
            proofs: RwLock::default(),
        })
    }

    /// From now on this is shown: a key and the chain that belongs to it. What cannot be used changes nothing.
    pub(super) fn take(&self, pem: &[u8]) -> Result<(), String> {
        let fresh = read(pem)?;
        metrics::gauge!("playhouse_tls_certificate_not_after_seconds", "source" => "acme")
            .set(fresh.until_s as f64);
        *self.current.write() = fresh;
        Ok(())
    }

    /// Who answers when the authority asks for a proof.
    pub(super) fn prove_by(&self, proofs: Arc<ResolvesServerCertAcme>) {
        *self.proofs.write() = Some(proofs);
    }

    /// When the next one is ordered: when a third of its time is left.
    pub(super) fn due_in(&self, now_ms: u64) -> Duration {
        let current = self.current.read();
        let left_s = (current.until_s - current.from_s) / 3;
        let now_s = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
        let due_s = (current.until_s - left_s).saturating_sub(now_s);
        Duration::from_secs(u64::try_from(due_s).unwrap_or(0))
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if is_tls_alpn_challenge(&hello) {
            let proofs = self.proofs.read().clone()?;
            return proofs.resolve(hello);
        }
        Some(self.current.read().key.clone())
    }
}

/// Why a key and a chain cannot be used, if so.
pub(super) fn problem_of(pem: &[u8]) -> Option<String> {
    read(pem).err()
}

fn read(text: &[u8]) -> Result<Current, String> {
    let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
        CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| error.to_string())?;
    let first = chain.first().ok_or("there is no certificate in it")?;
    let (from_s, until_s) = {
        let parsed = x509_parser::parse_x509_certificate(first);
        let (_, parsed) = parsed.map_err(|error| error.to_string())?;
        let validity = parsed.validity();
        (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        )
    };
    let key = certified(chain, key).map_err(|error| error.to_string())?;
    Ok(Current {
        key,
        from_s,
        until_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(years: [i32; 2]) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        [params.not_before, params.not_after] = years.map(|year| rcgen::date_time_ymd(year, 1, 1));
        let certificate = params.self_signed(&key).unwrap();
        key.serialize_pem() + &certificate.pem()
    }

    #[test]
    fn a_third_of_its_time_is_left_when_a_certificate_is_due() {
        let served = Served::without_authority(&["a.example".to_owned()]).unwrap();
        let now_ms = 946_684_800_000;
        assert_eq!(served.due_in(now_ms), Duration::ZERO);
        served.take(made([2000, 2030]).as_bytes()).unwrap();
        let years = served.due_in(now_ms).as_secs() / (86_400 * 365);
        assert_eq!(years, 20);
        assert_eq!(served.due_in(u64::MAX), Duration::ZERO);
        served.take(made([1980, 1990]).as_bytes()).unwrap();
        assert_eq!(served.due_in(now_ms), Duration::ZERO);
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let served = Served::without_authority(&["a.example".to_owned()]).unwrap();
        served.take(made([2000, 2030]).as_bytes()).unwrap();
        let before = served.current.read().key.clone();
        let (one, other) = (made([2000, 2030]), made([2000, 2030]));
        let begin = "-----BEGIN CERTIFICATE-----";
        let (key, _) = one.split_once(begin).unwrap();
        let (_, chain) = other.split_once(begin).unwrap();
        for pem in [
            String::new(),
            key.to_owned(),
            format!("{begin}{chain}"),
            format!("{key}{begin}{chain}"),
            format!("{key}{begin}\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            assert!(problem_of(pem.as_bytes()).is_some(), "{pem}");
            served.take(pem.as_bytes()).unwrap_err();
        }
        assert!(Arc::ptr_eq(&before, &served.current.read().key));
    }
}

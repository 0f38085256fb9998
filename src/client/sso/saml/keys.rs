//! The keys by which a provider signs, out of what its operator gives: certificates or bare public keys as PEM.
//!
//! A certificate only carries a key here: whom it names, who signed it and when it ends do not matter, since the operator says that this key is right.

use rustls_pki_types::pem::{PemObject as _, SectionKind};

use crate::config::Provider;

/// A public key with its algorithm (RFC 5280, `SubjectPublicKeyInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey(Vec<u8>);

impl AsRef<[u8]> for PublicKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The keys of a provider. A file is read each time, so that keys can be exchanged without a restart.
pub(super) async fn keys_of(provider: &Provider) -> Result<Vec<PublicKey>, String> {
    let given = provider.certificates.as_deref().unwrap_or_default();
    if given.contains("-----BEGIN ") {
        return parse(given.as_bytes());
    }
    let pem = tokio::fs::read(given).await;
    parse(&pem.map_err(|error| format!("{given} cannot be read: {error}"))?)
}

fn parse(pem: &[u8]) -> Result<Vec<PublicKey>, String> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|error| format!("not PEM: {error}"))?;
        match kind {
            SectionKind::Certificate => {
                let key = key_in_certificate(&der);
                keys.push(key.ok_or("a certificate cannot be read")?);
            }
            SectionKind::PublicKey => keys.push(PublicKey(der)),
            _ => return Err("there is something else than certificates and public keys".into()),
        }
    }
    if keys.is_empty() {
        return Err("there is no certificate".to_owned());
    }
    Ok(keys)
}

/// The tags of DER that stand in a certificate before its key.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `Certificate { tbsCertificate { [version], serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, … }, … }`
fn key_in_certificate(der: &[u8]) -> Option<PublicKey> {
    let (SEQUENCE, certificate, _) = element(der)? else {
        return None;
    };
    let (SEQUENCE, mut fields, _) = element(certificate.content)? else {
        return None;
    };
    if fields.content.first() == Some(&VERSION) {
        fields.content = element(fields.content)?.2;
    }
    for _ in 0..5 {
        fields.content = element(fields.content)?.2;
    }
    let (SEQUENCE, key, _) = element(fields.content)? else {
        return None;
    };
    Some(PublicKey(key.whole.to_vec()))
}

struct Element<'a> {
    content: &'a [u8],
    whole: &'a [u8],
}

/// The first element of some DER: its tag, itself, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, Element<'_>, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let add = |sum, digit: &u8| (sum << 8) | usize::from(*digit);
            (digits.iter().fold(0, add), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    let whole = &der[..der.len() - after.len()];
    Some((tag, Element { content, whole }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_certificates_of_any_version() {
        let nested = |tag: u8, parts: &[Vec<u8>]| {
            let content = parts.concat();
            let mut der = vec![tag, 0x82, (content.len() >> 8) as u8, content.len() as u8];
            der.extend(content);
            der
        };
        let part = |tag| vec![tag, 1, 7];
        let key = nested(SEQUENCE, &[part(SEQUENCE), part(3)]);
        let before = [2, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE].map(part);
        let first = [before.as_slice(), std::slice::from_ref(&key)].concat();
        let third = [&[part(VERSION)], first.as_slice(), &[part(0xa3)]].concat();
        for fields in [first, third] {
            let tbs = nested(SEQUENCE, &fields);
            let der = nested(SEQUENCE, &[tbs, part(SEQUENCE)]);
            assert_eq!(key_in_certificate(&der), Some(PublicKey(key.clone())));
            for cut in 0..der.len() {
                assert_ne!(
                    key_in_certificate(&der[..cut]),
                    Some(PublicKey(key.clone()))
                );
            }
        }
    }
}

//! Who may speak on the wire: whoever has a certificate that the cluster's secret has signed, and only under the name in it.
//!
//! The authority's key follows from the secret, so that every node makes its own certificate and believes all others without a file. A certificate lives as
//! long as the process that made it and has no date that could pass: who has the secret could make another at any time.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use playhouse_schema::register::NodeName;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, client::Resumption, server::WebPkiClientVerifier,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use x509_parser::extensions::GeneralName;

use crate::cluster::secret::ClusterSecret;

/// An Ed25519 key in PKCS #8 begins so; the seed follows.
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What a node shows to others, and by what it knows them.
pub(super) struct Credentials {
    /// For connections that come in.
    pub(super) server: Arc<ServerConfig>,
    /// For connections that go out.
    pub(super) client: Arc<ClientConfig>,
}

impl Credentials {
    /// Makes a node's certificate.
    pub(super) fn issue(secret: &ClusterSecret, name: &NodeName) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("the cluster's certificate: {error}");
        let (chain, key, authority) = issued(secret, name).map_err(|error| wrong(&error))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|error| wrong(&error))?;
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let verifier = verifier.map_err(|error| wrong(&error))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| wrong(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| wrong(&error))?;
        // Everybody shows a certificate each time.
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| wrong(&error))?;
        client.resumption = Resumption::disabled();
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

type Issued = (
    Vec<CertificateDer<'static>>,
    PrivateKeyDer<'static>,
    CertificateDer<'static>,
);

/// A chain with its key, and the certificate of the authority.
fn issued(secret: &ClusterSecret, name: &NodeName) -> Result<Issued, rcgen::Error> {
    let authority_key = [&PKCS8_HEAD[..], &secret.key("authority")].concat();
    let authority_key = KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(authority_key),
        &PKCS_ED25519,
    )?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named("playhouse cluster");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let mut own = CertificateParams::new([host_of(name)])?;
    own.distinguished_name = named(name.as_str());
    own.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let own = own.signed_by(&key, &issuer)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((
        vec![own.der().clone()],
        PrivateKeyDer::Pkcs8(key),
        root.der().clone(),
    ))
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// The name of a node as certificates have it: not every name of a node is one of a host.
fn host_of(name: &NodeName) -> String {
    let hash = digest(&SHA256, name.as_str().as_bytes());
    let hash = hash.as_ref()[..16].iter();
    let label: String = hash.map(|byte| format!("{byte:02x}")).collect();
    format!("{label}.node.playhouse.internal")
}

/// For what to ask who dials a node.
pub(super) fn server_name(name: &NodeName) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host_of(name)).map_err(|error| error.to_string())
}

/// Whether a certificate that was verified is that of a node.
pub(super) fn is_of(chain: Option<&[CertificateDer<'_>]>, name: &NodeName) -> bool {
    let Some(first) = chain.and_then(<[_]>::first) else {
        return false;
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(first) else {
        return false;
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let host = host_of(name);
    matches!(&names.value.general_names[..], [GeneralName::DNSName(name)] if *name == host)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConnection, ServerConnection};

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    fn credentials(secret: &str, node: &str) -> Credentials {
        Credentials::issue(&ClusterSecret::new(secret).unwrap(), &name(node)).unwrap()
    }

    /// Shakes hands; what the server knows of the client then.
    fn meet(
        client: &Credentials,
        server: &Credentials,
        dialled: &str,
    ) -> Result<ServerConnection, rustls::Error> {
        let asked = server_name(&name(dialled)).unwrap();
        let mut client = ClientConnection::new(client.client.clone(), asked)?;
        let mut server = ServerConnection::new(Arc::clone(&server.server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut sent = Vec::new();
            client.write_tls(&mut sent).unwrap();
            let went = !sent.is_empty();
            if went {
                server.read_tls(&mut sent.as_slice()).unwrap();
                server.process_new_packets()?;
            }
            let mut sent = Vec::new();
            server.write_tls(&mut sent).unwrap();
            let came = !sent.is_empty();
            if came {
                client.read_tls(&mut sent.as_slice()).unwrap();
                client.process_new_packets()?;
            }
            assert!(went || came, "the handshake stands still");
        }
        Ok(server)
    }

    #[test]
    fn nodes_of_one_secret_know_each_other_by_name() {
        let (one, two) = (
            credentials("sixteen bytes or more", "n1"),
            credentials("sixteen bytes or more", "Node_2.example"),
        );
        let met = meet(&one, &two, "Node_2.example").unwrap();
        assert!(is_of(met.peer_certificates(), &name("n1")));
        assert!(!is_of(met.peer_certificates(), &name("n2")));
        assert!(!is_of(None, &name("n1")));
        // Who is dialled must be who was meant.
        assert!(meet(&one, &two, "n3").is_err());
    }

    #[test]
    fn another_secret_opens_nothing() {
        let (one, two) = (
            credentials("sixteen bytes or more", "n1"),
            credentials("sixteen bytes of others", "n2"),
        );
        assert!(meet(&one, &two, "n2").is_err());
    }
}

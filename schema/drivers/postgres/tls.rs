//! TLS to a server: who is believed, and the stream that comes of it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs::default_provider, verify_tls12_signature,
        verify_tls13_signature, verify_tls13_signature_with_raw_key,
    },
    server::ParsedCertificate,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, pem::PemObject,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

/// Why TLS with a server did not come about.
#[derive(Debug, thiserror::Error)]
#[error("TLS with {host}: {why}")]
pub(super) struct TlsError {
    host: String,
    why: String,
    /// To try again would not help.
    pub(super) is_final: bool,
}

/// The names of the files with one's own certificate and its key.
type Own<'a> = (&'a str, &'a str);

/// Speaks TLS to servers.
#[derive(Clone)]
pub(super) struct Connector {
    /// None: there is no TLS.
    config: Option<Arc<ClientConfig>>,
    /// Whose certificates count, in words.
    believed: Arc<str>,
}

impl Connector {
    /// For connections without TLS.
    pub(super) fn none() -> Self {
        Self {
            config: None,
            believed: "nobody".into(),
        }
    }

    /// For servers that show a certificate which the roots have signed: those of a file, or (`Some(None)`) the system's; without roots anybody is believed.
    /// The certificate must be for the server's name if that is asked for. Errors are words that name the file.
    pub(super) fn new(
        roots: Option<Option<&str>>,
        is_name_checked: bool,
        own: Option<Own<'_>>,
    ) -> Result<Self, String> {
        let roots = roots.map(Roots::load).transpose()?;
        let believed = roots.as_ref().map_or("anybody", |roots| &*roots.source);
        let believed: Arc<str> = Arc::from(believed);
        let provider = Arc::new(default_provider());
        let judge = Judge {
            roots,
            is_name_checked,
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge));
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("sslcert", certificate)?;
                let unusable = |error: &dyn std::fmt::Display| unusable("sslkey", key, error);
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(&error))?;
                let made = builder.with_client_auth_cert(chain, key);
                made.map_err(|error| unusable(&error))?
            }
        };
        // A server that is spoken to in TLS from the first byte on asks for it; others do not mind.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Self {
            config: Some(Arc::new(config)),
            believed,
        })
    }
}

/// The certificates of a file.
fn certificates(parameter: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(parameter, path, &error))?;
    if found.is_empty() {
        let why = "there is no certificate in it";
        return Err(unusable(parameter, path, &why));
    }
    Ok(found)
}

fn unusable(parameter: &str, path: &str, why: &dyn std::fmt::Display) -> String {
    format!("{parameter}: {path} cannot be used: {why}")
}

/// Whose certificates count.
#[derive(Debug)]
struct Roots {
    /// In words.
    source: String,
    signers: RootCertStore,
    /// What was named in a file is believed itself, too: a server's certificate that nobody else has signed.
    named: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Of a file, or the system's.
    fn load(path: Option<&str>) -> Result<Self, String> {
        let mut signers = RootCertStore::empty();
        let Some(path) = path else {
            // The system's list may hold what cannot be used, which is then not believed.
            signers.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if signers.is_empty() {
                return Err("sslrootcert: the system has no certificate authorities".into());
            }
            return Ok(Self {
                source: "the system's certificate authorities".into(),
                signers,
                named: Vec::new(),
            });
        };
        let named = certificates("sslrootcert", path)?;
        for certificate in &named {
            let added = signers.add(certificate.clone());
            added.map_err(|error| unusable("sslrootcert", path, &error))?;
        }
        Ok(Self {
            source: path.to_owned(),
            signers,
            named,
        })
    }
}

/// Decides whether a server is the one that is meant.
#[derive(Debug)]
struct Judge {
    /// None: whoever answers.
    roots: Option<Roots>,
    is_name_checked: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let mut named = roots.named.iter();
        if named.any(|named| named.as_ref() == end_entity.as_ref()) {
            must_be_in_time(end_entity, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &roots.signers,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.is_name_checked {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    /// That the server has the key is known even of who is not: a password is bound to the certificate.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Certificates as PostgreSQL's manual has them made may be of a version that is otherwise refused.
        if self.roots.is_none()
            && let Ok((_, parsed)) = parse_x509_certificate(cert)
        {
            let key = SubjectPublicKeyInfoDer::from(parsed.tbs_certificate.subject_pki.raw);
            return verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms);
        }
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Refuses a certificate before and after its time.
fn must_be_in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, parsed) =
        parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.validity();
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now_s < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now_s > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Session;
    type TlsConnect = Handshake;
    type Error = TlsError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, TlsError> {
        Ok(Handshake {
            host: domain.to_owned(),
            connector: self.clone(),
        })
    }
}

/// What is to become a session.
pub(super) struct Handshake {
    host: String,
    connector: Connector,
}

impl Handshake {
    async fn run(self, socket: Socket) -> Result<Session, TlsError> {
        let Some(config) = self.connector.config.clone() else {
            return Err(self.refused("it is not to be spoken".into()));
        };
        let Ok(name) = ServerName::try_from(self.host.clone()) else {
            return Err(self.refused("this is no name that a certificate could have".into()));
        };
        let made = TlsConnector::from(config).connect(name, socket).await;
        let stream = made.map_err(|error| self.failed(&error))?;
        Ok(Session(Box::new(stream)))
    }

    fn refused(&self, why: String) -> TlsError {
        TlsError {
            host: self.host.clone(),
            why,
            is_final: true,
        }
    }

    fn failed(&self, error: &io::Error) -> TlsError {
        match said(error) {
            Some(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                let believed = &self.connector.believed;
                self.refused(format!("its certificate is not signed by {believed}"))
            }
            Some(error) => self.refused(error.to_string()),
            None => TlsError {
                is_final: false,
                ..self.refused(error.to_string())
            },
        }
    }
}

/// What TLS has to say about an error, if it is one of TLS.
pub(super) fn told(error: &tokio_postgres::Error) -> Option<String> {
    let source = std::error::Error::source(error)?;
    if let Some(error) = source.downcast_ref::<TlsError>() {
        return Some(error.to_string());
    }
    let alert = source.downcast_ref::<io::Error>().and_then(said)?;
    Some(format!("{error}: {alert}"))
}

/// What TLS has to say about an error of a stream.
fn said(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Session;
    type Error = TlsError;
    type Future = Pin<Box<dyn Future<Output = Result<Session, TlsError>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(self.run(stream))
    }
}

/// A connection over TLS.
pub(super) struct Session(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for Session {
    /// `tls-server-end-point` (RFC 5929, section 4.1): the password is proved to whom the certificate belongs, and to nobody in between.
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        shown
            .and_then(fingerprint)
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// A certificate's digest by the algorithm of its signature; none where that has none.
fn fingerprint(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let signature = parsed.signature_algorithm.algorithm.to_id_string();
    let algorithm = match signature.as_str() {
        // RSA with MD5, SHA-1 and SHA-256, ECDSA with SHA-1 and SHA-256: what is weaker is taken for SHA-256.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => &SHA256,
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => &SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

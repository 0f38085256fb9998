//! Servers that talk with each other: each with a name, an address of its own on loopback and a certificate that all believe.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use super::{Options, TestServer};

/// Counts the addresses that this test program has given out.
static LAST: AtomicU8 = AtomicU8::new(0);

/// A place in a town: where a server, real or scripted, is to be found.
#[derive(Clone, Debug)]
pub(crate) struct House {
    /// The server's name.
    pub(crate) name: String,
    /// Where other servers ask it.
    pub(crate) address: SocketAddr,
    /// A PEM file with its certificate.
    pub(crate) cert: PathBuf,
    /// A PEM file with the key to it.
    pub(crate) key: PathBuf,
}

/// Names, addresses and certificates of servers that find and believe each other.
pub(crate) struct Town {
    folder: TempDir,
    houses: Vec<House>,
}

impl Town {
    /// Lays out places for servers with these names.
    pub(crate) fn new(names: &[&str]) -> Self {
        let places = names.iter().map(|name| ((*name).to_owned(), address()));
        Self::of(places.collect())
    }

    /// Lays out places for so many servers that are called like their addresses, so that they find each other without being told.
    pub(crate) fn of_addresses(count: usize) -> Self {
        let places = std::iter::repeat_with(address).take(count);
        Self::of(
            places
                .map(|place| (place.ip().to_string(), place))
                .collect(),
        )
    }

    fn of(places: Vec<(String, SocketAddr)>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = authority();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("the file is written");
        let houses = places
            .into_iter()
            .map(|place| house(folder.path(), place, &authority))
            .collect();
        Self { folder, houses }
    }

    /// The names of all servers.
    pub(crate) fn names(&self) -> Vec<String> {
        self.houses.iter().map(|house| house.name.clone()).collect()
    }

    /// Where the server of this name is.
    pub(crate) fn house(&self, name: &str) -> &House {
        let found = self.houses.iter().find(|house| house.name == name);
        found.expect("a name of the town")
    }

    /// The folder with the certificates.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The PEM file with the authority that signed all certificates.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Starts Playhouse under a name of the town, with further environment variables.
    pub(crate) async fn open(&self, name: &str, environment: &[(&str, &str)]) -> TestServer {
        let house = self.house(name);
        let overrides: Vec<_> = self
            .houses
            .iter()
            .filter(|house| house.name != house.address.ip().to_string())
            .map(|house| format!("{}={}", house.name, house.address))
            .collect();
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut all = vec![
            ("PLAYHOUSE_SERVER_NAME", house.name.clone()),
            ("PLAYHOUSE_FEDERATION_LISTEN", house.address.to_string()),
            ("PLAYHOUSE_FEDERATION_TLS_CERT", path(&house.cert)),
            ("PLAYHOUSE_FEDERATION_TLS_KEY", path(&house.key)),
            ("PLAYHOUSE_EXTRA_CA", path(&self.authority())),
            ("PLAYHOUSE_FEDERATION_OVERRIDES", overrides.join(",")),
            (
                "PLAYHOUSE_FEDERATION_ALLOW_NETWORKS",
                "127.0.0.0/8".to_owned(),
            ),
        ];
        all.extend(
            environment
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let environment = all
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        TestServer::start_with(Options {
            environment: environment.collect(),
            ..Options::default()
        })
        .await
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "the town's authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

fn house(
    folder: &Path,
    (name, address): (String, SocketAddr),
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> House {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.clone()]).expect("a host name");
    let cert = params.signed_by(&key, authority).expect("a certificate");
    let paths = ["crt", "key"].map(|ending| folder.join(format!("{name}.{ending}")));
    std::fs::write(&paths[0], cert.pem()).expect("the file is written");
    std::fs::write(&paths[1], key.serialize_pem()).expect("the file is written");
    let [cert, key] = paths;
    House {
        name,
        address,
        cert,
        key,
    }
}

/// An address of loopback that no other server of this machine uses: it has this program's process ID in it, so that the usual port is free and a
/// server that is started again finds it free too.
fn address() -> SocketAddr {
    let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let program = std::process::id();
    let [.., high, low] = program.to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 | (high & 0x7f), low, number);
    SocketAddr::new(ip.into(), 8448)
}

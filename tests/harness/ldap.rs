//! A real LDAP directory: OpenLDAP's slapd, with a configuration, data and certificates of its own.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::database::free_port;

/// Where all entries are.
pub(crate) const SUFFIX: &str = "dc=example,dc=org";

/// The directory's own administrator.
pub(crate) const ADMINISTRATOR: &str = "cn=admin,dc=example,dc=org";

/// The administrator's password.
pub(crate) const SECRET: &str = "directory secret";

/// A running directory.
pub(crate) struct Directory {
    folder: TempDir,
    ports: [u16; 2],
    program: Option<Child>,
}

impl Directory {
    /// Starts one with these entries (LDIF) below the suffix.
    pub(crate) fn start(entries: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut directory = Self {
            ports: [free_port(), free_port()],
            folder,
            program: None,
        };
        directory.write_certificates();
        directory.fill(entries);
        directory.start_again();
        directory
    }

    /// `ldap://`, in clear.
    pub(crate) fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.ports[0])
    }

    /// `ldaps://`.
    pub(crate) fn secured_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.ports[1])
    }

    /// The authority that vouches for its certificate (PEM).
    pub(crate) fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill().expect("slapd can be killed");
            program.wait().expect("slapd ends");
        }
    }

    /// Starts it, again, with what it knows.
    pub(crate) fn start_again(&mut self) {
        let listeners = format!("{} {}", self.url(), self.secured_url());
        let program = slapd()
            .args(["-d", "0", "-h", &listeners, "-f"])
            .arg(self.path("slapd.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.program = Some(program.expect("slapd starts: `ops/ci/test` installs it"));
        let started = Instant::now();
        while self
            .ports
            .iter()
            .any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err())
        {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "slapd answers"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("it can be written");
    }

    fn write_certificates(&self) {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        self.write("ca.pem", &authority.pem());
        self.write("cert.pem", &certificate.pem());
        self.write("key.pem", &key.serialize_pem());
    }

    fn fill(&self, entries: &str) {
        std::fs::create_dir(self.path("data")).expect("a folder");
        let folder = self.folder.path().display();
        let schemas = ["core", "cosine", "inetorgperson"];
        let schemas = schemas.map(|name| format!("include /etc/ldap/schema/{name}.schema\n"));
        let configuration = format!(
            "{}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {folder}/pid\n\
             TLSCertificateFile {folder}/cert.pem\nTLSCertificateKeyFile {folder}/key.pem\n\
             database mdb\nsuffix {SUFFIX}\ndirectory {folder}/data\nrootdn {ADMINISTRATOR}\nrootpw \"{SECRET}\"\n\
             access to attrs=userPassword by anonymous auth by * none\naccess to * by users read by anonymous auth\n",
            schemas.concat()
        );
        self.write("slapd.conf", &configuration);
        let root = format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Example\n\n{entries}"
        );
        self.write("entries.ldif", &root);
        let status = Command::new(program("slapadd"))
            .arg("-f")
            .arg(self.path("slapd.conf"))
            .arg("-l")
            .arg(self.path("entries.ldif"))
            .status();
        let status = status.expect("slapadd runs: `ops/ci/test` installs it");
        assert!(status.success(), "slapadd: {status}");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.stop();
    }
}

fn slapd() -> Command {
    Command::new(program("slapd"))
}

/// Not in everybody's search path.
fn program(name: &str) -> PathBuf {
    Path::new("/usr/sbin").join(name)
}

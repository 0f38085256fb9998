//! The way to PostgreSQL is encrypted as its address says, and nobody is taken for the server who is not.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Database, Options, Postgres, TestServer};

/// For whom the server's certificate is. Nobody resolves it: addresses say where that is.
const NAME: &str = "db.test";

/// Part of addresses, and never said.
const PASSWORD: &str = "hush-hush";

/// Who is let in by TLS only.
const SEALED: &str = "sealed";

/// A server that shows a certificate, and the files of who knows it.
struct Stage {
    postgres: Postgres,
    folder: TempDir,
}

impl Stage {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let signer = authority("the right one");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([NAME.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &signer).expect("a certificate");
        let (shown, key) = (certificate.pem(), key.serialize_pem());
        let stage = Self {
            postgres: Postgres::start_with_tls(&shown, &key, &signer.pem()),
            folder,
        };
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, SEALED);
        let own = params.signed_by(&key, &signer).expect("a certificate");
        stage.write("own.pem", &own.pem());
        stage.write("own.key", &key.serialize_pem());
        stage.write("ca.pem", &signer.pem());
        stage.write("other.pem", &authority("another one").pem());
        stage.write("itself.pem", &certificate.pem());
        stage
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("it can be written");
    }

    /// The address of a database under the name in the certificate, with a way to speak TLS.
    fn named(&self, url: &str, user: &str, way: &str) -> String {
        let user_before = format!("{user}:{PASSWORD}@{NAME}");
        let url = url.replace("postgres@127.0.0.1", &user_before);
        format!("{url}?hostaddr=127.0.0.1&{}", self.files(way))
    }

    /// The same under a name that is not in the certificate.
    fn misnamed(&self, url: &str, way: &str) -> String {
        let url = url.replace("postgres@", &format!("postgres:{PASSWORD}@"));
        format!("{url}?{}", self.files(way))
    }

    /// From now on somebody is let in by TLS only, and known by this method.
    async fn seal(&self, url: &str, method: &str) {
        let rule = format!("hostssl all {SEALED} all {method}");
        let rules = format!(
            "CREATE ROLE {SEALED} SUPERUSER LOGIN PASSWORD '{PASSWORD}'; \
             DO $$ BEGIN EXECUTE format('COPY (VALUES (%L), (%L)) TO %L', '{rule}', \
             'host all postgres all trust', current_setting('hba_file')); END $$;"
        );
        ask(url, move |client| {
            client.batch_execute(&rules).expect("rules are made");
        })
        .await;
        // It reads them at its start.
        self.postgres.restart("INT", 0);
    }

    /// The files of a way are in the stage's folder.
    fn files(&self, way: &str) -> String {
        let folder = self.folder.path().display();
        way.replace("cert=", &format!("cert={folder}/"))
            .replace("key=", &format!("key={folder}/"))
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

/// Asks the server itself, in clear.
async fn ask<T: Send + 'static>(
    url: &str,
    question: impl FnOnce(&mut postgres::Client) -> T + Send + 'static,
) -> T {
    let url = url.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let client = postgres::Client::connect(&url, postgres::NoTls);
        question(&mut client.expect("PostgreSQL answers"))
    });
    asked.await.expect("it is asked")
}

/// How many connections of nodes are encrypted, and how many there are.
async fn encrypted(url: &str) -> (i64, i64) {
    let sql = "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
               WHERE datname = current_database() AND application_name = 'playhouse'";
    ask(url, move |client| {
        let row = client.query_one(sql, &[]).expect("it tells");
        (row.get(0), row.get(1))
    })
    .await
}

async fn populate(server: &TestServer) {
    let anna = server.register("anna").await;
    let room_id = anna.create_room(json!({})).await;
    anna.say(&room_id, "hello").await;
}

/// What a command says over an address, which must succeed (`None`) or be refused with a word.
fn check(server: &mut TestServer, address: String, refused: Option<&str>) {
    server.use_database(Some(address.clone()));
    let (done, text) = server.command_line(&["log", "verify"]);
    assert_eq!(done, refused.is_none(), "{address}: {text}");
    assert!(text.contains(refused.unwrap_or_default()), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_server_is_spoken_to() {
    let stage = Stage::open();
    let url = stage.postgres.create();
    let right = "sslmode=verify-full&sslrootcert=ca.pem";
    let mut server = TestServer::start_exactly(Options {
        database: Some(stage.named(&url, "postgres", right)),
        ..Options::default()
    });
    populate(&server).await;
    let (with_tls, all) = encrypted(&url).await;
    assert!(all > 0 && with_tls == all, "{with_tls} of {all}");
    server.stop();

    let named = |way: &str| stage.named(&url, "postgres", way);
    check(&mut server, named(right), None);
    for (way, refused) in [
        ("sslmode=require", None),
        ("sslmode=verify-full&sslrootcert=itself.pem", None),
        (
            "sslmode=verify-full&sslrootcert=other.pem",
            Some("is not signed by"),
        ),
        (
            "sslmode=verify-ca&sslrootcert=other.pem",
            Some("is not signed by"),
        ),
        (
            "sslmode=require&sslrootcert=other.pem",
            Some("is not signed by"),
        ),
        (
            "sslmode=verify-full&sslrootcert=missing.pem",
            Some("missing.pem cannot be used"),
        ),
    ] {
        check(&mut server, named(way), refused);
    }
    let misnamed = |way: &str| stage.misnamed(&url, way);
    check(&mut server, misnamed(right), Some("not valid for name"));
    let by_authority = "sslmode=verify-ca&sslrootcert=ca.pem";
    check(&mut server, misnamed(by_authority), None);
    check(&mut server, misnamed("sslmode=require"), None);
    check(&mut server, misnamed("sslmode=disable"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_this_machine_is_spoken_to_in_clear_unless_the_address_says_otherwise() {
    let stage = Stage::open();
    for (way, is_encrypted) in [("", false), ("sslmode=prefer", true)] {
        let url = stage.postgres.create();
        let _server = TestServer::start_exactly(Options {
            database: Some(stage.misnamed(&url, way)),
            ..Options::default()
        });
        let (with_tls, all) = encrypted(&url).await;
        assert!(all > 0, "nobody is connected");
        assert_eq!(with_tls > 0, is_encrypted, "{way}: {with_tls} of {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_when_it_must_be() {
    let url = Database::create();
    let mut server = TestServer::start_exactly(Options {
        database: Some(format!("{url}?sslmode=prefer")),
        ..Options::default()
    });
    populate(&server).await;
    server.stop();
    let strict = format!("{url}?sslmode=require");
    check(
        &mut server,
        strict,
        Some("127.0.0.1 offers no TLS, and sslmode=require asks for it"),
    );
}

/// Whoever passes the password on over a connection of their own has no use of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_goes_over_tls_with_a_password_that_is_bound_to_it() {
    let stage = Stage::open();
    let url = stage.postgres.create();
    stage.seal(&url, "scram-sha-256").await;
    let mut server = TestServer::start_exactly(Options::default());
    populate(&server).await;
    server.stop();
    let data = server.data();
    let way = "sslmode=verify-full&sslrootcert=ca.pem&channel_binding=require";
    let to = stage.named(&url, SEALED, way);
    migrate(&server, &data, &to, None);
    let wrong = to.replace(PASSWORD, "wrong");
    migrate(
        &server,
        &data,
        &wrong,
        Some("password authentication failed"),
    );
    server.use_database(Some(to));
    let (done, text) = server.command_line(&["log", "verify"]);
    assert!(done, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_ask_for_a_certificate() {
    let stage = Stage::open();
    let url = stage.postgres.create();
    stage.seal(&url, "cert").await;
    let mut server = TestServer::start_exactly(Options::default());
    server.stop();
    let way = "sslmode=verify-full&sslrootcert=ca.pem";
    let without = stage.named(&url, SEALED, way);
    let with = stage.named(
        &url,
        SEALED,
        &format!("{way}&sslcert=own.pem&sslkey=own.key"),
    );
    check(&mut server, without, Some("valid client certificate"));
    check(&mut server, with, None);
}

fn migrate(server: &TestServer, data: &Path, to: &str, refused: Option<&str>) {
    let data = data.display().to_string();
    let (done, text) = server.command_line(&["migrate", "--from", &data, "--to", to]);
    assert_eq!(done, refused.is_none(), "{text}");
    assert!(text.contains(refused.unwrap_or_default()), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
}

//! Servers that tests share, one for each database engine.

use std::{
    process::Child,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::harness::{Client, Database, Options, TestServer, nodes_wished};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

static STAGES: [OnceLock<Stage>; 2] = [OnceLock::new(), OnceLock::new()];

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A server that other tests use at the same time.
pub(crate) struct Stage {
    server: TestServer,
    _guard: Child,
}

impl Stage {
    fn on(engine: Engine) -> &'static Self {
        STAGES[engine as usize].get_or_init(|| {
            let server = start(engine, &[]);
            let guard = server.end_with_program();
            Self {
                server,
                _guard: guard,
            }
        })
    }

    /// A client without an account.
    pub(crate) fn client(&self) -> Client {
        self.server.client()
    }

    /// A client of a new account. Its name begins so.
    pub(crate) async fn user(&self, name: &str) -> Client {
        self.server.register(&fresh(name)).await
    }

    /// Clients of new accounts.
    pub(crate) async fn users<const N: usize>(&self, names: [&str; N]) -> [Client; N] {
        let mut clients = Vec::new();
        for name in names {
            clients.push(self.user(name).await);
        }
        clients
            .try_into()
            .unwrap_or_else(|_| unreachable!("as many clients as names"))
    }
}

/// A name that no other test uses.
pub(crate) fn fresh(name: &str) -> String {
    format!("{name}{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Several nodes need PostgreSQL.
fn engines() -> impl Iterator<Item = Engine> {
    let several = nodes_wished() > 1;
    ENGINES
        .into_iter()
        .filter(move |engine| !several || *engine == Engine::Postgres)
}

fn start(engine: Engine, environment: &[(&str, &str)]) -> TestServer {
    let environment = environment.iter();
    let environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = Options {
        environment: environment.collect(),
        ..Options::default()
    };
    match engine {
        Engine::Sqlite => TestServer::start_exactly(options),
        Engine::Postgres => TestServer::start_wished(Options {
            database: Some(Database::create()),
            ..options
        }),
    }
}

/// Runs a test on each engine, on servers that other tests use too.
pub(crate) async fn on_each_engine(play: impl AsyncFn(&Stage)) {
    for engine in engines() {
        tell(engine);
        play(Stage::on(engine)).await;
    }
}

/// Runs a test on each engine, on a server of its own with further environment variables: the test may end it and start it again.
pub(crate) async fn on_own_servers(
    environment: &[(&str, &str)],
    play: impl AsyncFn(&mut TestServer),
) {
    for engine in engines() {
        tell(engine);
        play(&mut start(engine, environment)).await;
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a failed test should say on which engine"
)]
fn tell(engine: Engine) {
    println!("on {engine:?}");
}

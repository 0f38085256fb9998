//! `playhouse run`: the server from start to stop.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use super::output::{Problem, say, warn};
use crate::{
    config::{Config, Resource},
    node::{LogHandle, RunningNode, start},
};

/// Enough for the deepest state resolution; the default is four times as much for each thread.
const STACK_BYTES: usize = 1 << 20;

/// The runtime's threads have so long to end once everything else has.
pub(super) const RUNTIME_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Threads for blocking calls: file reads, password hashes.
const BLOCKING_THREADS_MAX: usize = 32;

/// The runtime on which rooms, users and everything else but HTTP live.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_stack_size(STACK_BYTES)
        .thread_name_fn(|| format!("house-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
        .enable_all()
        .build()?)
}

pub(super) fn run(path: Option<&Path>, config: &Config) -> Result<(), Problem> {
    let log = LogHandle::install_traced(config);
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let node = start(config.clone(), log).await?;
        greet(config, &node);
        while let Signal::Reload = signals.next().await {
            reload(path, &node);
        }
        node.stop().await;
        Ok::<_, Problem>(())
    })?;
    // What blocks even now holds nothing that must be kept.
    runtime.shutdown_timeout(RUNTIME_ENDS_WITHIN);
    Ok(())
}

/// What somebody wants of the process.
pub(super) enum Signal {
    Stop,
    Reload,
}

/// The signals of the process.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Problem> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

fn reload(path: Option<&Path>, node: &RunningNode) {
    match Config::load(path) {
        Ok(config) => node.reload(&config),
        Err(error) => {
            tracing::error!(%error, "the configuration cannot be read again, nothing is reloaded");
        }
    }
}

/// One screen: where it listens, how to make the first user, which URL clients use.
fn greet(config: &Config, node: &RunningNode) {
    let url = node.client_url();
    let client_url = config.server.client_url.as_deref().unwrap_or(&url);
    let name = &config.server.name;
    say(format_args!(
        "Playhouse {} serves {name}.\n\n  Clients:    {url}",
        env!("CARGO_PKG_VERSION")
    ));
    for (resource, label) in [
        (Resource::Federation, "Federation:"),
        (Resource::Metrics, "Metrics:   "),
    ] {
        let address = node.address(resource);
        if let Some(address) =
            address.filter(|address| Some(*address) != node.address(Resource::Client))
        {
            say(format_args!("  {label} {address}"));
        }
    }
    if let Some(address) = node.gateway_address() {
        say(format_args!("  Push:       {address}"));
    }
    let database = config
        .database
        .url
        .as_ref()
        .map_or("SQLite", |_| "PostgreSQL");
    say(format_args!(
        "  Data:       {} ({database})\n",
        config.server.data_dir
    ));
    say(format_args!(
        "Log in with any Matrix client: give {client_url} as homeserver."
    ));
    say(format_args!("{}", first_user(config)));
    say(format_args!("Stop with Ctrl-C."));
    if config.registration.enabled && !config.registration.token_required {
        warn(format_args!(
            "playhouse: anybody who reaches this server can register"
        ));
    }
}

fn first_user(config: &Config) -> &'static str {
    if config.registration.enabled {
        "Registration is open: the first user can be made in the client."
    } else if config.registration.shared_secret.is_some() {
        "Make the first user: playhouse user add NAME --admin (with the same configuration)."
    } else {
        "Make the first user: stop the server, playhouse user add NAME --admin, start it again."
    }
}

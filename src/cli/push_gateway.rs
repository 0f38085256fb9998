//! `playhouse push-gateway`: a push gateway without a homeserver.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    output::{Problem, say, warn},
    serve::{self, Signal, Signals},
};
use crate::{
    config::Config,
    node::{LogHandle, start_gateway},
    push::import::import,
};

/// What to do.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Read Sygnal's configuration and write ours: to the file of --config, which must not exist, or else to standard output. What has no counterpart is named. Nothing is started
    #[arg(long, value_name = "SYGNAL.YAML")]
    import: Option<PathBuf>,
}

pub(super) fn execute(arguments: &Arguments, path: Option<&Path>) -> Result<(), Problem> {
    match &arguments.import {
        Some(yaml) => write(yaml, path),
        None => run(path, Config::load(path)?),
    }
}

fn run(path: Option<&Path>, config: Config) -> Result<(), Problem> {
    let log = LogHandle::install_traced(&config);
    let runtime = serve::runtime()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let folder = config.server.data_dir.clone();
        let is_sqlite = config.database.url.is_none();
        let gateway = start_gateway(config, log).await?;
        say(format_args!(
            "Playhouse {} passes on notifications.\n\n  Push gateway: {}\n  Data:         {folder} ({})\n\nStop with Ctrl-C.",
            env!("CARGO_PKG_VERSION"),
            gateway.address(),
            if is_sqlite { "SQLite" } else { "PostgreSQL" },
        ));
        while let Signal::Reload = signals.next().await {
            match Config::load(path) {
                Ok(config) => gateway.reload(&config),
                Err(error) => {
                    tracing::error!(%error, "the configuration cannot be read again, nothing is reloaded");
                }
            }
        }
        gateway.stop().await;
        Ok::<_, Problem>(())
    })?;
    // What blocks even now holds nothing that must be kept.
    runtime.shutdown_timeout(serve::RUNTIME_ENDS_WITHIN);
    Ok(())
}

fn write(yaml: &Path, to: Option<&Path>) -> Result<(), Problem> {
    let at = |path: &Path, error: &dyn std::fmt::Display| {
        Problem::new(format!("{}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(yaml).map_err(|error| at(yaml, &error))?;
    let imported = import(&text).map_err(|error| at(yaml, &error))?;
    for note in &imported.notes {
        warn(format_args!("playhouse: {note}"));
    }
    let Some(to) = to else {
        say(format_args!("{}", imported.text.trim_end()));
        return Ok(());
    };
    // It may hold the password of a proxy.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    let mut file = file.map_err(|error| at(to, &error))?;
    file.write_all(imported.text.as_bytes())?;
    file.sync_all()?;
    say(format_args!("Wrote {}.", to.display()));
    Ok(())
}

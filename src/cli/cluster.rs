//! `playhouse cluster`: several nodes of one server.

use std::{net::SocketAddr, path::PathBuf};

use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};

use super::output::{Problem, say};
use crate::{
    cluster::balance::{Balancer, Settings},
    config::Log,
    node::LogHandle,
};

/// What can be done.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Spread requests over nodes: for trials on one machine
    #[command(hide = true)]
    Balance {
        /// A file with the address of a node in each line, read again when it has changed
        #[arg(long, value_name = "FILE")]
        nodes: PathBuf,
        /// Where to listen
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
        /// Pick nodes at random instead of in turn
        #[arg(long)]
        random: bool,
    },
}

/// Does it.
pub(super) async fn execute(command: Command) -> Result<(), Problem> {
    match command {
        Command::Balance {
            nodes,
            listen,
            random,
        } => {
            let settings = Settings {
                nodes,
                listen,
                random,
            };
            balance(settings).await
        }
    }
}

async fn balance(settings: Settings) -> Result<(), Problem> {
    let log = Log {
        level: "warn".to_owned(),
        ..Log::default()
    };
    // None when something logs already, which then goes on.
    let _ = LogHandle::install(&log);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let balancer = Balancer::start(settings).await?;
    say(format_args!("Balances at http://{}", balancer.address()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

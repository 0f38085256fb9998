//! The keys with which the server signs.

use clap::Subcommand;
use playhouse_actors::env::{Env, Identity};
use ruma::ServerName;

use super::{
    output::{Problem, say},
    secret::Registrar,
};
use crate::{config::Config, node};

/// What can be done with keys.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the keys in use and those of former times
    Show,
    /// Sign with a new key from the next start on, and remember the present one as an old one; the server must be stopped
    Rotate,
}

pub(super) async fn execute(command: Command, config: Config) -> Result<(), Problem> {
    let path = config.signing_key_path();
    if let Command::Rotate = command {
        if Registrar::is_served(&config).await {
            let running = "the server is running and signs with the present key: stop it first";
            return Err(Problem::new(running));
        }
        let shared = node::SharedKey::open(&config).await?;
        let env = Env::system(Identity {
            server_name: ServerName::parse(&config.server.name)
                .map_err(|error| Problem::new(error.to_string()))?,
            signer: node::open_signer(&path)?,
        });
        node::rotate(&path, env.now_ms())?;
        // Other nodes have it in their files still, and say so when they start.
        if let Some(shared) = shared {
            shared.replace().await?;
        }
    }
    let signer = node::open_signer(&path)?;
    say(format_args!("{} signs", signer.key_id()));
    for beside in signer.beside() {
        say(format_args!("{} is valid too", beside.key_id()));
    }
    for retired in signer.retired() {
        say(format_args!(
            "{} is valid for what was signed until {} (milliseconds since 1970)",
            retired.key_id, retired.expired_ts
        ));
    }
    Ok(())
}

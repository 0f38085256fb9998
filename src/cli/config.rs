//! `playhouse config …`

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use toml::Value;

use super::output::{Problem, say};
use crate::{
    config::{Config, example::example},
    node::{SigningKey, random_secret},
};

/// Configuration files.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write a commented configuration file with fresh secrets, and a signing key
    New {
        /// The name of the server: the part of user IDs after the colon
        #[arg(long)]
        server_name: String,
        /// The folder for database, media and keys
        #[arg(long, default_value = "./data")]
        data_dir: String,
        /// Where to write it
        #[arg(default_value = "playhouse.toml")]
        file: PathBuf,
    },
    /// Read a configuration file and the environment, and say what is wrong with them
    Check {
        /// Which file; without it the one of --config or PLAYHOUSE_CONFIG
        file: Option<PathBuf>,
    },
}

pub(super) fn execute(command: Command, path: Option<&Path>) -> Result<(), Problem> {
    match command {
        Command::New {
            server_name,
            data_dir,
            file,
        } => new(server_name, data_dir, &file),
        Command::Check { file } => {
            Config::load(file.as_deref().or(path))?;
            say(format_args!("The configuration is good."));
            Ok(())
        }
    }
}

fn new(server_name: String, data_dir: String, file: &Path) -> Result<(), Problem> {
    let filled = [
        ("server", "name", Value::String(server_name)),
        ("server", "data_dir", Value::String(data_dir)),
        (
            "registration",
            "shared_secret",
            Value::String(random_secret(48)),
        ),
    ];
    let text = example(&filled);
    let config = Config::parse(&text, [])?;
    let mut output = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|error| Problem::new(format!("cannot write {}: {error}", file.display())))?;
    output.write_all(text.as_bytes())?;
    let key_path = config.signing_key_path();
    let key = if key_path.exists() {
        "The signing key that was there stays:"
    } else {
        SigningKey::generate().store(&key_path)?;
        "The signing key is new; keep a copy of"
    };
    say(format_args!(
        "Written: {}\n{key} {}\nStart the server: playhouse run --config {}",
        file.display(),
        key_path.display(),
        file.display()
    ));
    Ok(())
}

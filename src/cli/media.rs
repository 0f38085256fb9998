//! `playhouse media …`

use std::path::PathBuf;

use super::output::{Problem, say, warn};
use crate::{
    config::Config,
    media::{Blobs, copies},
};

/// Where media is kept.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Bring all media from where the configuration says to where another configuration says. It may be interrupted and run again. The server may run meanwhile: run it once more when the server uses the other configuration
    Copy {
        /// The other configuration file. What is set in the environment counts for both
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Remove what was brought from where it was. The server must not use that place any more
        #[arg(long)]
        remove: bool,
    },
}

pub(super) async fn execute(command: Command, config: Config) -> Result<(), Problem> {
    let Command::Copy { to, remove } = command;
    let other = Config::load(Some(&to))?;
    let (from_folder, to_folder) = (
        config.in_data_dir(&config.media.dir),
        other.in_data_dir(&other.media.dir),
    );
    let (one, two) = (&config.media, &other.media);
    let is_same = match &one.storage {
        Some(_) => (&one.storage, &one.s3_endpoint) == (&two.storage, &two.s3_endpoint),
        None => two.storage.is_none() && from_folder == to_folder,
    };
    if is_same {
        return Err(Problem::new("both configurations name the same place"));
    }
    let from = Blobs::open_beside(one, from_folder).map_err(Problem::new)?;
    let to = Blobs::open_beside(two, to_folder).map_err(Problem::new)?;
    let copied = copies::copy(&from, &to, remove).await?;
    say(format_args!(
        "Brought: {} files of {} bytes in all; {} were there already.",
        copied.blobs, copied.bytes, copied.there
    ));
    for name in &copied.damaged {
        warn(format_args!("damaged, and left where it is: {name}"));
    }
    match copied.damaged.len() {
        0 => Ok(()),
        count => Err(Problem::new(format!("{count} files are damaged"))),
    }
}

//! `playhouse backup`.

use std::path::PathBuf;

use super::{
    moment,
    output::{Problem, say, warn},
    progress::{Bar, thousands},
};
use crate::{
    backups::{self, Wanted},
    config::Config,
    media::copies::Copied,
    node,
};

/// Where to.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder for the backup, which is made; an empty one will do
    folder: PathBuf,
    /// Leave media out
    #[arg(long)]
    no_media: bool,
}

pub(super) async fn execute(arguments: Arguments, config: Config) -> Result<(), Problem> {
    let source = node::open_store_beside(&config).await?;
    let media = match arguments.no_media {
        true => None,
        false => Some(backups::own_media(&config)?),
    };
    let wanted = Wanted {
        folder: &arguments.folder,
        config: &config,
        source: &*source,
        media: media.as_ref(),
        now_ms: moment::now_ms(),
    };
    let mut bar = Bar::new();
    let made = backups::make(wanted, &mut |done, all| {
        bar.tell("records copied", done, all);
    })
    .await?;
    bar.end();
    if media.is_some() {
        tell_media(&made.media);
    }
    if !made.has_key {
        warn(format_args!(
            "the signing key is not where the configuration says: keep it yourself"
        ));
    }
    say(format_args!(
        "Backed up: {} records, everything until {}, in {}.",
        thousands(made.manifest.records),
        moment::shown(made.manifest.until_ms),
        arguments.folder.display()
    ));
    Ok(())
}

/// What was brought of media.
pub(super) fn tell_media(copied: &Copied) {
    say(format_args!(
        "Media: {} files of {} bytes.",
        thousands(copied.blobs),
        thousands(copied.bytes)
    ));
    for name in &copied.damaged {
        warn(format_args!("damaged, and not brought: {name}"));
    }
}

//! `playhouse migrate`: everything from one database to another.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use playhouse_actors::followers::fold_on::{Folded, fold_on};
use playhouse_schema::{
    address::Family,
    drivers::{self, DatabaseConfig, PostgresBounds, PostgresConfig},
    migrate::{
        Beginning, End, Migration, Progress, Step, Verified,
        port::{HeldStore, Side},
    },
    models,
    port::StoreError,
};
use url::Url;

use super::{
    output::{Problem, say, warn},
    progress::{Bar, thousands},
};
use crate::config::Config;

/// Nobody waits for a migration as for a server: what reads and counts much may take its time.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// From where to where.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The database to read: a data folder (SQLite) or postgres://…, repeated for each of several; what the configuration says when it is left out
    #[arg(long, value_name = "FOLDER|ADDRESS")]
    from: Vec<String>,
    /// The database to fill: a new data folder or an empty PostgreSQL database, repeated for several; what the configuration says when it is left out
    #[arg(long, value_name = "FOLDER|ADDRESS")]
    to: Vec<String>,
    /// Files of each family in a new data folder
    #[arg(long, value_name = "COUNT")]
    writers: Option<usize>,
}

impl Arguments {
    /// Whether the configuration says what one of the two is.
    pub(super) fn need_config(&self) -> bool {
        self.from.is_empty() || self.to.is_empty()
    }

    fn places(&self, config: &Config) -> Result<(Place, Place), Problem> {
        let configured = || match config.database.addresses() {
            [] => Place::Folder(PathBuf::from(&config.server.data_dir)),
            addresses => Place::Postgres(addresses.to_vec()),
        };
        let place = |given: &[String]| match given {
            [] => Ok(configured()),
            given => Place::parse(given),
        };
        if self.from.is_empty() && self.to.is_empty() {
            return Err(Problem::new(
                "say --from, --to or both: what is left out is the database of the configuration",
            ));
        }
        let (from, to) = (place(&self.from)?, place(&self.to)?);
        if from.is(&to) {
            return Err(Problem::new("--from and --to are the same database"));
        }
        Ok((from, to))
    }
}

/// Where a database is.
enum Place {
    Folder(PathBuf),
    /// The addresses of one database, or of several in their order.
    Postgres(Vec<String>),
}

impl Place {
    fn parse(texts: &[String]) -> Result<Self, Problem> {
        let is_address =
            |text: &String| text.starts_with("postgres://") || text.starts_with("postgresql://");
        if texts.iter().all(is_address) {
            return Ok(Self::Postgres(texts.to_vec()));
        }
        match texts {
            [folder] if !folder.contains("://") && !folder.is_empty() => {
                Ok(Self::Folder(PathBuf::from(folder)))
            }
            [_] => Err(Problem::new(
                "a database is a folder, or an address that begins with postgres://",
            )),
            _ => Err(Problem::new(
                "several databases are named by addresses that begin with postgres://",
            )),
        }
    }

    fn is(&self, other: &Self) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match (self, other) {
            (Self::Folder(one), Self::Folder(other)) => real(one) == real(other),
            (Self::Postgres(one), Self::Postgres(other)) => {
                one.iter().any(|address| other.contains(address))
            }
            _ => false,
        }
    }

    fn config(&self, writers: usize) -> DatabaseConfig {
        match self {
            Self::Folder(folder) => DatabaseConfig::Sqlite {
                folder: folder.clone(),
                writers,
            },
            Self::Postgres(addresses) => DatabaseConfig::Postgres(PostgresConfig {
                dsns: addresses.clone(),
                writers,
                owner: "migrate".to_owned(),
                bounds: PostgresBounds {
                    statement_timeout: STATEMENT_TIMEOUT,
                    ..PostgresBounds::default()
                },
            }),
        }
    }

    /// For people: without the passwords.
    fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Postgres(addresses) => {
                let shown: Vec<_> = addresses
                    .iter()
                    .map(|address| without_password(address))
                    .collect();
                shown.join(" and ")
            }
        }
    }

    /// The line of the configuration that names it.
    fn line(&self) -> String {
        match self {
            Self::Postgres(addresses) if addresses.len() > 1 => {
                let shown = addresses.iter().map(|address| without_password(address));
                let quoted: Vec<_> = shown.map(|address| format!("\"{address}\"")).collect();
                format!(
                    "urls = [{}]    # as you gave them; also PLAYHOUSE_DATABASE_URLS, with commas between",
                    quoted.join(", ")
                )
            }
            _ => format!(
                "url = \"{}\"    # as you gave it; also PLAYHOUSE_DATABASE",
                self.shown()
            ),
        }
    }
}

fn without_password(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else {
        return "PostgreSQL".to_owned();
    };
    if url.password().is_some() {
        // What has a password can be given another one.
        let _ = url.set_password(Some("…"));
    }
    // Parameters may hold a password, too.
    url.set_query(None);
    url.to_string().replace("%E2%80%A6", "…")
}

/// Brings everything, or goes on where an earlier run was.
pub(super) async fn execute(arguments: Arguments, config: Config) -> Result<(), Problem> {
    let (from, to) = arguments.places(&config)?;
    let writers = arguments
        .writers
        .unwrap_or(config.database.writers as usize);
    let source = hold(&from, writers, (Side::From, End::From)).await?;
    let layout = source.log().layout();
    let target = hold(&to, writers, (Side::To(layout), End::To)).await?;
    let (migration, beginning) = Migration::begin(source, target).await?;
    say(format_args!("From {} to {}.", from.shown(), to.shown()));
    let records = thousands(migration.records());
    match beginning {
        Beginning::Complete => {
            say(format_args!(
                "The target holds all {records} records already: an earlier run has ended."
            ));
            next(&from, &to);
            return Ok(());
        }
        Beginning::Partial(there) => say(format_args!(
            "Going on: {} of {records} records are there.",
            thousands(there)
        )),
        Beginning::Empty => say(format_args!("{records} records.")),
    }
    let (verified, folded) = bring(&migration).await?;
    report(&verified, &folded);
    next(&from, &to);
    Ok(())
}

async fn hold(
    place: &Place,
    writers: usize,
    (side, end): (Side, End),
) -> Result<Arc<dyn HeldStore>, Problem> {
    drivers::hold(place.config(writers), side)
        .await
        .map_err(|error| match error {
            StoreError::Locked(reason) => {
                Problem::new(format!("{end}: {reason}; stop the server first"))
            }
            error => Problem::new(format!("{end}: {error}")),
        })
}

/// All steps. What an earlier run has done is found done.
async fn bring(migration: &Migration) -> Result<(Verified, Folded), Problem> {
    let mut bar = Bar::new();
    migration
        .copy_records(&mut |progress| tell(&mut bar, progress))
        .await?;
    migration
        .copy_snapshots(&mut |progress| tell(&mut bar, progress))
        .await?;
    let models = models::all();
    migration.copy_readers(&models).await?;
    let target = migration.target();
    let folded = fold_on(&*target, &models, |folded| {
        let progress = Progress {
            step: Step::Models,
            done: folded.records,
            all: folded.all,
        };
        tell(&mut bar, progress);
    })
    .await?;
    let verified = migration
        .verify(&mut |progress| tell(&mut bar, progress))
        .await?;
    bar.end();
    migration.complete(&verified).await?;
    Ok((verified, folded))
}

fn tell(bar: &mut Bar, progress: Progress) {
    let label = match progress.step {
        Step::Records => "records copied",
        Step::Snapshots => "snapshots copied",
        Step::Models => "records folded into read models",
        Step::Verification => "records compared",
    };
    bar.tell(label, progress.done, progress.all);
}

fn report(verified: &Verified, folded: &Folded) {
    let of = |family| thousands(verified.records_of(family));
    say(format_args!(
        "Migrated and compared: {} records in {} shards (rooms {}, users {}, servers {}) of {} kinds, {} of them with an erased payload. \
         Every chain ends as in the source.",
        thousands(verified.records()),
        verified.shards,
        of(Family::Rooms),
        of(Family::Users),
        of(Family::Servers),
        verified.kinds.len(),
        thousands(verified.erased),
    ));
    if folded.parked > 0 {
        warn(format_args!(
            "{} records could not be taken in by a read model: `playhouse log parked` says which and why",
            folded.parked
        ));
    }
}

/// What the operator does now.
fn next(from: &Place, to: &Place) {
    say(format_args!(
        "\nNext, in the configuration (or in the environment):"
    ));
    match to {
        Place::Postgres(_) => say(format_args!(
            "  [database]\n  {}\n\
             `data_dir` stays as it is: media and the signing key are there and were not brought.",
            to.line()
        )),
        Place::Folder(folder) => say(format_args!(
            "  [database]\n  # no url, no urls, and no PLAYHOUSE_DATABASE\n  [server]\n  data_dir = \"{}\"\n\
             Media and the signing key were not brought: where `data_dir` was another folder, move `media` and `signing.key` from there,\n\
             or name them by `[media] dir` and `[server] signing_key`.",
            folder.display()
        )),
    }
    say(format_args!("Then start the server."));
    let old = match from {
        Place::Folder(folder) => format!(
            "`log`, `snapshots.db` and `models.db` in {}",
            folder.display()
        ),
        Place::Postgres(_) => format!("what is in {}", from.shown()),
    };
    say(format_args!(
        "The source is as it was. When all is well, remove {old}; never run a server on both."
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(from: &[&str], to: &[&str]) -> Result<(Place, Place), Problem> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let arguments = Arguments {
            from: owned(from),
            to: owned(to),
            writers: None,
        };
        arguments.places(&Config::default())
    }

    #[test]
    fn what_is_left_out_is_the_configured_database() {
        let (from, to) = places(&[], &["postgres://u:secret@h/d"])
            .ok()
            .expect("one is named");
        assert_eq!(from.shown(), Config::default().server.data_dir);
        assert_eq!(to.shown(), "postgres://u:…@h/d");
        assert!(to.line().starts_with("url = \"postgres://u:…@h/d\""));
    }

    #[test]
    fn several_addresses_are_one_place() {
        let several = ["postgres://u:secret@h/d", "postgres://u:secret@i/d"];
        let (_, to) = places(&["here"], &several).ok().expect("two places");
        let line = "urls = [\"postgres://u:…@h/d\", \"postgres://u:…@i/d\"]";
        assert!(to.line().starts_with(line), "{}", to.line());
    }

    #[test]
    fn what_reads_much_may_take_longer_than_on_a_server() {
        let place = Place::Postgres(vec!["postgres://h/d".to_owned()]);
        let DatabaseConfig::Postgres(config) = place.config(1) else {
            panic!("not PostgreSQL");
        };
        let of_servers = PostgresBounds::default().statement_timeout;
        assert!(config.bounds.statement_timeout > of_servers * 10);
    }

    #[test]
    fn one_database_is_not_two() {
        let of: [(&[&str], &[&str]); 6] = [
            (&[], &[]),
            (&["here"], &["here"]),
            (&["postgres://h/d"], &["postgres://h/d"]),
            (&["postgres://h/d"], &["postgres://h/e", "postgres://h/d"]),
            (&["mysql://h/d"], &["here"]),
            (&["there", "elsewhere"], &["here"]),
        ];
        for (from, to) in of {
            assert!(places(from, to).is_err());
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for dsn in ["postgres://u:secret@h/d", "postgres://h/d?password=secret"] {
            let place = Place::parse(&[dsn.to_owned()]).ok().expect("an address");
            assert!(!place.shown().contains("secret"));
            assert!(!place.line().contains("secret"));
        }
    }
}

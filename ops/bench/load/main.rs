//! The load generator: puts a Playhouse that it starts itself, and any other homeserver, through the same scenarios in turn, and prints one table.
//!
//! One thread, connections that stay open, answers searched instead of parsed: so that it takes little of the machine that it shares with the server.

mod accounts;
mod api;
mod client;
mod house;
mod knobs;
mod meter;
mod options;
mod process;
mod scenario;
mod table;
mod target;
mod text;
mod trouble;

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    options::Options,
    scenario::{ENTRIES, Scenario},
    table::{Table, json_of},
    target::Target,
    trouble::{Outcome, Trouble},
};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if options.list {
        list().map(|()| true)
    } else {
        compare(&options)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(trouble) => {
            let _ = writeln!(io::stderr(), "load: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Outcome<()> {
    let mut output = io::stdout();
    for entry in &ENTRIES {
        let special = if entry.is_special {
            " (only by name)"
        } else {
            ""
        };
        writeln!(output, "{}: {}{special}", entry.name, entry.about)?;
        for (name, at, meaning) in entry.knobs {
            writeln!(output, "    {name}={at}  {meaning}")?;
        }
    }
    Ok(())
}

/// Runs everything; whether it went without a fault.
fn compare(options: &Options) -> Outcome<bool> {
    let scenarios = options.scenarios()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let targets = options.targets()?;
    let mut table = Table::default();
    let stopped = runtime.block_on(async {
        let mut stop = signal(SignalKind::terminate())?;
        tokio::select! {
            () = run_all(options, &scenarios, &targets, &mut table) => Ok::<_, Trouble>(false),
            _ = tokio::signal::ctrl_c() => Ok(true),
            _ = stop.recv() => Ok(true),
        }
    })?;
    if stopped {
        table.fail("stopped before the end".to_owned());
    }
    let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
    io::stdout().write_all(table.text(&names).as_bytes())?;
    Ok(table.is_clean())
}

/// Each scenario, round by round, against one server after the other.
async fn run_all(options: &Options, scenarios: &[Scenario], targets: &[Target], table: &mut Table) {
    for scenario in scenarios {
        for round in 1..=options.rounds {
            for (place, target) in targets.iter().enumerate() {
                let done = once(options, scenario, (round, place, target), table).await;
                if let Err(trouble) = done {
                    let name = scenario.entry.name;
                    table.fail(format!("{name}, {}, round {round}: {trouble}", target.name));
                }
            }
        }
    }
}

async fn once(
    options: &Options,
    scenario: &Scenario,
    (round, place, target): (usize, usize, &Target),
    table: &mut Table,
) -> Outcome<()> {
    let name = scenario.entry.name;
    writeln!(io::stderr(), "{name}, {}, round {round}", target.name)?;
    for part in scenario.run(target).await? {
        if let Some(path) = &options.out {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{}", json_of(name, &target.name, round, &part))?;
        }
        table.add(name, place, part);
    }
    Ok(())
}

//! The push gateway and Sygnal under the same load, in turn, before the same providers: what a thousand notifications cost, and how much memory that takes.

mod gateway;
mod load;
#[expect(
    dead_code,
    reason = "the load generator looks at itself and at processes that end"
)]
#[path = "../load/process.rs"]
mod process;
#[expect(dead_code, reason = "tests let providers say more")]
#[path = "../../../tests/push/provider.rs"]
mod provider;
mod table;
#[expect(dead_code, reason = "the load generator has more to complain about")]
#[path = "../load/trouble.rs"]
mod trouble;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Parser;
use serde_json::json;

use self::{
    gateway::{Keys, Running},
    load::{Kind, Load},
    provider::{Provider, Said, Seen},
    table::Table,
    trouble::Outcome,
};

/// Puts our push gateway and Sygnal under the same load, in turn.
#[derive(Debug, Parser)]
#[command(name = "push")]
struct Options {
    /// What is sent: `apns`, `fcm`, `webpush`, `mixed`; all of them without any
    kinds: Vec<Kind>,
    /// A Python that has Sygnal; ours alone without it
    #[arg(long)]
    sygnal: Option<PathBuf>,
    /// The program to start
    #[arg(long, default_value = env!("CARGO_BIN_EXE_playhouse"))]
    binary: PathBuf,
    /// Cores for both, as `taskset -c` reads them
    #[arg(long)]
    cores: Option<String>,
    /// How often each load is put on each; the table has the medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Notifications of one load
    #[arg(long, default_value_t = 2_000)]
    notifications: usize,
    /// Homeservers that send at the same time
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Seconds that belong to a load after its last notification: what is put off then counts, too
    #[arg(long, default_value_t = 5)]
    settle: u64,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // Installing it twice would be harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(compare(&options)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(trouble) => {
            let _ = writeln!(io::stderr(), "push: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything; whether nothing was lost.
async fn compare(options: &Options) -> Outcome<bool> {
    let arrived = Arc::<AtomicUsize>::default();
    let counted = arrived.clone();
    let provider = Provider::start().await;
    provider.will_judge(move |seen: &Seen| {
        if seen.path == "/token" {
            let token = json!({ "access_token": "t", "expires_in": 3_600, "token_type": "Bearer" });
            return Said::new(200, token);
        }
        counted.fetch_add(1, Ordering::Relaxed);
        Said::ok()
    });
    let keys = Keys::make(&provider)?;
    let cores = options.cores.as_deref();
    let mut gateways = vec![Running::playhouse(
        (options.binary.as_path(), cores),
        &provider,
        &keys,
    )?];
    if let Some(python) = &options.sygnal {
        gateways.push(Running::sygnal(
            (python.as_path(), cores),
            &provider,
            &keys,
        )?);
    }
    for gateway in &gateways {
        gateway.until_healthy().await?;
    }
    let kinds = match options.kinds.as_slice() {
        [] => Kind::ALL.to_vec(),
        kinds => kinds.to_vec(),
    };
    let load = Load::new((&provider, &*arrived), &keys, options.clients)?;
    let mut table = Table::default();
    // Connections, tokens and caches are there when it counts.
    for gateway in &gateways {
        load.put(gateway, (Kind::Mixed, 200), 1).await?;
    }
    for kind in kinds {
        for round in 1..=options.rounds {
            for gateway in &gateways {
                let name = gateway.name;
                writeln!(io::stderr(), "{kind:?}, {name}, round {round}")?;
                let what = (kind, options.notifications);
                let part = load.put(gateway, what, options.settle).await?;
                table.add((kind, name), part);
            }
        }
    }
    io::stdout().write_all(table.text().as_bytes())?;
    Ok(table.is_clean())
}

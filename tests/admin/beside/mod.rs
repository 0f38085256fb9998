//! The same calls to a real Synapse and to this server, after the same preparations. What they answer is compared field by field; what differs stands in a
//! table with the reason, and anything else fails. The table goes both ways: what differs no more must go from it.

mod compare;
mod scenario;
mod world;

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use self::{
    compare::{Difference, Table, differences, sort},
    scenario::{Call, Row, calls, row_of, rows},
    world::World,
};
use crate::harness::{Synapse, Town};

const CALLS: &str = include_str!("calls.txt");
const KNOWN: &str = include_str!("known.tsv");
const ENDPOINTS: &str = include_str!("endpoints.tsv");
const NOT_APPLICABLE: &str = include_str!("../../../ops/ci/admin-not-applicable.tsv");

/// What follows the log comes within this time, here and there: until then a GET is repeated.
const PATIENCE: Duration = Duration::from_secs(120);

/// What differs still after so long may be due to what Synapse has counted.
const DOUBT: Duration = Duration::from_secs(20);

/// So long an account is good where validity is switched on.
const PERIOD_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// A line of the table that is printed.
struct Line {
    row: String,
    call: String,
    difference: Difference,
    reason: Option<String>,
}

/// Every row is called or stands among those that do not apply; and the manual has those.
#[test]
fn every_row_is_called_or_does_not_apply() {
    let all: BTreeSet<_> = rows(ENDPOINTS).into_iter().collect();
    let left_out: BTreeSet<_> = rows(NOT_APPLICABLE).into_iter().collect();
    let known = rows(ENDPOINTS);
    let called = calls(CALLS);
    let called: BTreeSet<_> = called
        .iter()
        .map(|call| row_of(&known, call).clone())
        .collect();
    let missing: Vec<_> = all
        .iter()
        .filter(|row| !called.contains(row) && !left_out.contains(row))
        .collect();
    assert!(missing.is_empty(), "nobody calls these: {missing:#?}");
    assert!(left_out.is_subset(&all), "no such rows");
    assert!(left_out.is_disjoint(&called), "called though left out");
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/docs/admin-api.md");
    let manual = std::fs::read_to_string(manual).expect("the manual is there");
    for row in left_out {
        assert!(
            manual.contains(&row.path),
            "the manual lacks {}",
            row.name()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_synapse() {
    let town = Town::of_addresses(2);
    let names = town.names();
    let period = PERIOD_MS.to_string();
    let environment = [
        ("PLAYHOUSE_ACCOUNT_VALIDITY_ENABLED", "true"),
        ("PLAYHOUSE_ACCOUNT_VALIDITY_PERIOD_MS", period.as_str()),
        ("PLAYHOUSE_SERVER_NOTICES_LOCALPART", "notices"),
        ("PLAYHOUSE_MEDIA_UNAUTHENTICATED_DOWNLOAD", "false"),
    ];
    let playhouse = town.open(&names[0], &environment).await;
    let settings = json!({
        "account_validity": {"enabled": true, "period": PERIOD_MS},
        "server_notices": {"system_mxid_localpart": "notices"},
    });
    let synapse = Synapse::start_with(&town, &names[1], settings).await;
    let mut ours = World::people(&names[0], playhouse.base()).await;
    let mut theirs = World::people(&names[1], &synapse.base()).await;
    ours.furnish(&theirs).await;
    theirs.furnish(&ours).await;
    ours.meets(&theirs);
    theirs.meets(&ours);
    let mut worlds = [theirs, ours];
    let (known, table) = (rows(ENDPOINTS), Table::read(KNOWN));
    let mut lines = Vec::new();
    for call in calls(CALLS) {
        let row = row_of(&known, &call);
        for difference in compared(&mut worlds, &call, (row, &table)).await {
            let reason = table.reason([&row.name(), &call.name()], &difference);
            lines.push(Line {
                row: row.name(),
                call: call.name(),
                reason: reason.map(ToOwned::to_owned),
                difference,
            });
        }
    }
    print(&lines);
    let unknown = lines.iter().filter(|line| line.reason.is_none()).count();
    assert_eq!(unknown, 0, "differences without a reason: see the table");
    let unused = table.unused();
    assert!(unused.is_empty(), "these differ no more: {unused:#?}");
}

/// Makes a call to both, Synapse first, and tells what differs. What only looks is asked again until nothing unknown differs.
#[expect(
    clippy::print_stdout,
    reason = "what differs is to be looked at as a whole"
)]
async fn compared(
    worlds: &mut [World; 2],
    call: &Call,
    (row, table): (&Row, &Table),
) -> Vec<Difference> {
    let (end, mut recount_at) = (Instant::now() + PATIENCE, Some(Instant::now() + DOUBT));
    loop {
        let answers = [
            answer(&worlds[0], call).await,
            answer(&worlds[1], call).await,
        ];
        let found = differences(&answers[0].1, &answers[1].1);
        let unknown = found.iter().any(|difference| {
            table
                .reason([&row.name(), &call.name()], difference)
                .is_none()
        });
        let is_over = call.until.as_ref().is_none_or(|(pointer, text)| {
            let says = |(raw, _): &(Value, Value)| raw.pointer(pointer) == Some(&json!(text));
            answers.iter().all(says)
        });
        if (unknown || !is_over) && call.method == Method::GET && Instant::now() < end {
            if recount_at.take_if(|at| Instant::now() >= *at).is_some() {
                recount(&worlds[0]).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        if unknown {
            let [theirs, ours] = answers.each_ref().map(|(raw, _)| raw);
            println!("{}: Synapse: {theirs}\nthis server: {ours}", call.name());
        }
        for (world, (raw, _)) in worlds.iter_mut().zip(&answers) {
            for (name, pointer) in &call.keep {
                let kept = match raw.pointer(pointer) {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => "nothing".to_owned(),
                };
                world.call(name, &kept);
            }
        }
        return found;
    }
}

/// Has Synapse count anew who is in which room. It adds up what changes, and on a busy machine it has counted a join twice: three people in a room into which
/// two were let, for good.
async fn recount(synapse: &World) {
    let job = json!({"job_name": "populate_stats_process_rooms"});
    let path = "/_synapse/admin/v1/background_updates/start_job";
    synapse.client("boss").post(path, job).await;
}

/// The body of an answer as it came; and all of it, in words that are the same for both servers.
async fn answer(world: &World, call: &Call) -> (Value, Value) {
    let body = call.body.as_deref().map(|body| world.body(body));
    let client = world.client(&call.who);
    let answer = client
        .request(call.method.clone(), &world.path(&call.path), body)
        .await;
    let body = if answer.body.is_null() {
        Value::from(String::from_utf8_lossy(&answer.bytes).trim())
    } else {
        answer.body
    };
    let mut named = json!({"status": answer.status, "body": world.named(&body)});
    if call.any_order {
        sort(&mut named);
    }
    (body, named)
}

#[expect(
    clippy::print_stdout,
    reason = "the table of differences is what the test is for"
)]
fn print(lines: &[Line]) {
    println!("| call | where | Synapse | Playhouse | why |\n|---|---|---|---|---|");
    for line in lines {
        let Difference {
            place,
            synapse,
            ours,
        } = &line.difference;
        let reason = line.reason.as_deref().unwrap_or("**unknown**");
        println!(
            "| {} | {place} | {synapse} | {ours} | {reason} |",
            line.call
        );
    }
    println!("\nLines for known.tsv, each once, to which a reason must be found:");
    let unknown = lines.iter().filter(|line| line.reason.is_none());
    let unknown: BTreeSet<_> = unknown
        .map(|line| {
            format!(
                "{}\t{}\t{}\t",
                line.row, line.difference.place, line.difference.synapse
            )
        })
        .collect();
    for line in unknown {
        println!("{line}");
    }
}

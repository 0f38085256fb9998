//! The comparison: one row for each part and server, medians over the rounds, ratios to the first server.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::meter::Part;

/// All results: by the place of the part, then by the place of the server, one part for each round.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(String, BTreeMap<usize, Vec<Part>>)>,
    /// Rounds that failed as a whole.
    failures: Vec<String>,
}

const COLUMNS: [&str; 14] = [
    "part",
    "server",
    "ops",
    "ops/s",
    "p50 ms",
    "p99 ms",
    "CPU ms/op",
    "KiB/op",
    "RSS MiB",
    "errors",
    "lost",
    "undelivered",
    "ops/s ratio",
    "CPU ratio",
];

/// The medians of one part on one server.
struct Medians {
    operations: f64,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_ms: Option<f64>,
    kib: f64,
    resident_mib: Option<f64>,
}

impl Table {
    /// Takes in one result.
    pub(crate) fn add(&mut self, scenario: &str, server: usize, part: Part) {
        let name = if scenario == part.name {
            part.name.clone()
        } else {
            format!("{scenario}: {}", part.name)
        };
        let place = match self.rows.iter().position(|(known, _)| *known == name) {
            Some(place) => place,
            None => {
                self.rows.push((name, BTreeMap::new()));
                self.rows.len() - 1
            }
        };
        self.rows[place].1.entry(server).or_default().push(part);
    }

    /// A scenario came to nothing.
    pub(crate) fn fail(&mut self, text: String) {
        self.failures.push(text);
    }

    /// Whether all that was asked was done without a fault.
    pub(crate) fn is_clean(&self) -> bool {
        let mut parts = self
            .rows
            .iter()
            .flat_map(|(_, servers)| servers.values().flatten());
        self.failures.is_empty()
            && parts.all(|part| part.errors.is_empty() && part.lost + part.undelivered == 0)
    }

    /// The table in Markdown, faults and notes below it.
    pub(crate) fn text(&self, servers: &[String]) -> String {
        let mut lines = vec![COLUMNS.map(ToOwned::to_owned).to_vec()];
        let mut below = Vec::new();
        for (name, by_server) in &self.rows {
            let first = by_server.get(&0).map(|parts| medians(parts));
            for (server, parts) in by_server {
                let base = first.as_ref().filter(|_| *server > 0);
                let mut line = vec![name.clone(), servers[*server].clone()];
                line.extend(cells(parts, base));
                lines.push(line);
                let label = format!("{name}, {}", servers[*server]);
                below.extend(remarks(parts).map(|remark| format!("- {label}: {remark}")));
            }
        }
        below.extend(self.failures.iter().map(|failure| format!("- {failure}")));
        let mut text = aligned(&lines);
        if !below.is_empty() {
            text.push('\n');
            text.push_str(&below.join("\n"));
            text.push('\n');
        }
        text
    }
}

/// One result as a line of JSON.
pub(crate) fn json_of(scenario: &str, server: &str, round: usize, part: &Part) -> Value {
    json!({
        "scenario": scenario, "part": part.name, "server": server, "round": round,
        "operations": part.operations, "seconds": part.seconds, "p50_ms": part.p50_ms, "p99_ms": part.p99_ms,
        "server_cpu_ms": part.server_cpu_ms, "resident_mib": part.resident_mib, "tool_cpu_ms": part.tool_cpu_ms,
        "received_bytes": part.received_bytes, "errors": part.errors, "lost": part.lost,
        "undelivered": part.undelivered, "note": part.note,
    })
}

fn remarks(parts: &[Part]) -> impl Iterator<Item = String> {
    let mut errors: BTreeMap<&str, usize> = BTreeMap::new();
    for (error, count) in parts.iter().flat_map(|part| &part.errors) {
        *errors.entry(error).or_default() += count;
    }
    let errors: Vec<_> = errors
        .into_iter()
        .map(|(error, count)| format!("{count} × {error}"))
        .collect();
    let mut notes: Vec<_> = parts.iter().filter_map(|part| part.note.clone()).collect();
    notes.dedup();
    errors.into_iter().chain(notes)
}

fn medians(parts: &[Part]) -> Medians {
    let per_operation = |part: &Part, amount: f64| amount / part.operations.max(1) as f64;
    Medians {
        operations: median(parts.iter().map(|part| part.operations as f64)),
        rate: median(
            parts
                .iter()
                .map(|part| part.operations as f64 / part.seconds),
        ),
        p50_ms: median(parts.iter().map(|part| part.p50_ms)),
        p99_ms: median(parts.iter().map(|part| part.p99_ms)),
        cpu_ms: known(parts, |part| {
            Some(per_operation(part, part.server_cpu_ms? as f64))
        }),
        kib: median(
            parts
                .iter()
                .map(|part| per_operation(part, part.received_bytes as f64) / 1024.0),
        ),
        resident_mib: known(parts, |part| part.resident_mib),
    }
}

fn known(parts: &[Part], figure: impl Fn(&Part) -> Option<f64>) -> Option<f64> {
    let figures: Vec<_> = parts.iter().filter_map(figure).collect();
    (!figures.is_empty()).then(|| median(figures.into_iter()))
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => 0.0,
        length if length % 2 == 0 => f64::midpoint(figures[middle - 1], figures[middle]),
        _ => figures[middle],
    }
}

fn cells(parts: &[Part], base: Option<&Medians>) -> Vec<String> {
    let now = medians(parts);
    let sum = |count: fn(&Part) -> usize| parts.iter().map(count).sum::<usize>().to_string();
    let ratio = |own: Option<f64>, other: Option<f64>| match (own, other) {
        (Some(own), Some(other)) if other > 0.0 => format!("{:.2}", own / other),
        _ => "-".to_owned(),
    };
    vec![
        format!("{:.0}", now.operations),
        figure(Some(now.rate)),
        figure(Some(now.p50_ms)),
        figure(Some(now.p99_ms)),
        figure(now.cpu_ms),
        figure(Some(now.kib)),
        figure(now.resident_mib),
        sum(|part| part.errors.values().sum()),
        sum(|part| part.lost),
        sum(|part| part.undelivered),
        ratio(Some(now.rate), base.map(|base| base.rate)),
        ratio(now.cpu_ms, base.and_then(|base| base.cpu_ms)),
    ]
}

/// Three digits that count.
fn figure(figure: Option<f64>) -> String {
    match figure {
        None => "-".to_owned(),
        Some(figure) if figure >= 100.0 => format!("{figure:.0}"),
        Some(figure) if figure >= 10.0 => format!("{figure:.1}"),
        Some(figure) if figure >= 1.0 => format!("{figure:.2}"),
        Some(figure) => format!("{figure:.3}"),
    }
}

fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..COLUMNS.len())
        .map(|at| width(at).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (at, cell) in line.iter().enumerate() {
            let width = widths[at];
            // Writing to a string cannot fail.
            let _ = match at {
                0 | 1 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (at, width) in widths.iter().enumerate() {
                let end = if at < 2 { "-" } else { ":" };
                text.push_str(&format!("|{}{end}", "-".repeat(width + 1)));
            }
            text.push_str("|\n");
        }
    }
    text
}

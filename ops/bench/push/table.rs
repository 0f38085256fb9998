//! The comparison: medians over the rounds, one row for each load and gateway.

use std::collections::BTreeMap;

use super::load::{Kind, Part};

/// All results.
#[derive(Default)]
pub(crate) struct Table {
    rows: BTreeMap<(Kind, &'static str), Vec<Part>>,
}

impl Table {
    /// Takes in one result.
    pub(crate) fn add(&mut self, row: (Kind, &'static str), part: Part) {
        self.rows.entry(row).or_default().push(part);
    }

    /// Whether nothing was refused or lost.
    pub(crate) fn is_clean(&self) -> bool {
        let mut parts = self.rows.values().flatten();
        parts.all(|part| part.errors + part.lost == 0)
    }

    /// The table in Markdown.
    pub(crate) fn text(&self) -> String {
        let mut text = concat!(
            "| load | gateway | notifications | CPU s/1,000 | of the first | notifications/s | p50 ms | p99 ms | RSS MiB | PSS MiB | errors | lost |\n",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        )
        .to_owned();
        for ((kind, name), parts) in &self.rows {
            let of = |figure: fn(&Part) -> f64| median(parts.iter().map(figure));
            let cpu = of(cpu_s);
            let first = self.rows.get(&(*kind, "playhouse"));
            let first = first.map_or(cpu, |parts| median(parts.iter().map(cpu_s)));
            let sum = |figure: fn(&Part) -> usize| parts.iter().map(figure).sum::<usize>();
            text.push_str(&format!(
                "| {kind:?} | {name} | {:.0} | {cpu:.3} | {:.2} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} |\n",
                of(|part| part.notifications as f64),
                cpu / first.max(f64::EPSILON),
                of(|part| part.notifications as f64 / part.seconds),
                of(|part| part.p50_ms),
                of(|part| part.p99_ms),
                of(|part| part.resident_mib),
                of(|part| part.own_mib),
                sum(|part| part.errors),
                sum(|part| part.lost),
            ));
        }
        text
    }
}

/// CPU seconds of a thousand notifications.
fn cpu_s(part: &Part) -> f64 {
    // Milliseconds each are seconds of a thousand.
    part.cpu_ms as f64 / part.notifications.max(1) as f64
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

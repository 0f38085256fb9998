//! The table of differences.

use std::fmt;

use super::{
    cases::Case,
    known::{Known, known},
    outcome::{Difference, Outcome},
};

/// A value in the table has at most so many letters.
const SHOWN_MAX: usize = 48;

/// All differences, each with its kind if it is known.
pub(super) struct Report {
    requests: usize,
    same: usize,
    found: Vec<(Difference, Option<&'static Known>)>,
}

impl Report {
    pub(super) fn of(cases: &[Case], theirs: &[Outcome], ours: &[Outcome]) -> Self {
        let mut report = Self {
            requests: cases.len(),
            same: 0,
            found: Vec::new(),
        };
        for ((case, theirs), ours) in cases.iter().zip(theirs).zip(ours) {
            let found = Outcome::differences(theirs, ours, (case.about, &case.name));
            report.same += usize::from(theirs.answer == ours.answer);
            report.found.extend(found.into_iter().map(|one| {
                let kind = known().find(|kind| (kind.fits)(&one));
                (one, kind)
            }));
        }
        report
    }

    /// Differences of no known kind.
    pub(super) fn unknown(&self) -> Vec<&Difference> {
        let unknown = self.found.iter().filter(|(_, kind)| kind.is_none());
        unknown.map(|(one, _)| one).collect()
    }

    /// Every single difference, one line each, for whoever does not trust in kinds.
    pub(super) fn every(&self) -> String {
        let mut text =
            "| request | where | Sygnal | ours | what |\n|---|---|---|---|---|\n".to_owned();
        for (one, kind) in &self.found {
            let line = [&one.name, &one.field, &one.theirs, &one.ours].map(|cell| shown(cell));
            let what = kind.map_or("**unknown**", |kind| kind.what);
            text.push_str(&format!("| {} | {what} |\n", line.join(" | ")));
        }
        text
    }

    /// Known kinds of which there is no difference.
    pub(super) fn gone(&self) -> Vec<&'static str> {
        let gone = known().filter(|kind| self.of_kind(kind).next().is_none());
        gone.map(|kind| kind.what).collect()
    }

    fn of_kind(&self, kind: &Known) -> impl Iterator<Item = &Difference> {
        let what = kind.what;
        let of_kind = self
            .found
            .iter()
            .filter(move |(_, known)| known.is_some_and(|known| known.what == what));
        of_kind.map(|(one, _)| one)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} kinds of requests, {} of them with the same status and the same rejected pushkeys\n",
            self.requests, self.same
        )?;
        writeln!(
            formatter,
            "| what | requests | for example | where | Sygnal | ours | why |\n|---|---:|---|---|---|---|---|"
        )?;
        for kind in known() {
            let mut names: Vec<&str> = self.of_kind(kind).map(|one| one.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            let Some(one) = self.of_kind(kind).next() else {
                continue;
            };
            writeln!(
                formatter,
                "| {} | {} | {} | {} | {} | {} | {} |",
                kind.what,
                names.len(),
                shown(&one.name),
                shown(&one.field),
                shown(&one.theirs),
                shown(&one.ours),
                kind.why
            )?;
        }
        Ok(())
    }
}

/// A value that fits into a table.
fn shown(text: &str) -> String {
    let plain = text.replace('|', "\\|");
    if plain.chars().count() <= SHOWN_MAX {
        return plain;
    }
    let cut: String = plain.chars().take(SHOWN_MAX - 1).collect();
    format!("{cut}…")
}

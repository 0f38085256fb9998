//! All figures as `ops/docs/metrics.md` has them. Names and meanings stand there once, for operators and for Prometheus.

/// The page.
const PAGE: &str = include_str!("../../../ops/docs/metrics.md");

/// What stands in the table where there are no labels.
const NONE: &str = "–";

/// A figure.
#[derive(Clone, Copy, Debug)]
struct Figure {
    name: &'static str,
    kind: &'static str,
    labels: &'static str,
    meaning: &'static str,
}

fn all() -> impl Iterator<Item = Figure> {
    PAGE.lines().filter_map(figure)
}

/// A line of the table: name, kind, labels, meaning.
fn figure(line: &'static str) -> Option<Figure> {
    let line = line.strip_prefix("| `")?.strip_suffix(" |")?;
    let cells: Vec<_> = line.split(" | ").collect();
    let [name, kind, labels, meaning] = cells[..] else {
        return None;
    };
    Some(Figure {
        name: name.strip_suffix('`')?,
        kind,
        labels,
        meaning,
    })
}

/// What a figure means.
pub(super) fn meaning(name: &str) -> &'static str {
    let figure = all().find(|figure| figure.name == name);
    figure.map_or("", |figure| figure.meaning)
}

/// Tells the recorder what all figures mean. Counters begin with 0: of one that is only seen when it is 1 Prometheus does not know that it was less.
pub(super) fn describe() {
    for figure in all() {
        match figure.kind {
            "counter" => metrics::describe_counter!(figure.name, figure.meaning),
            "gauge" => metrics::describe_gauge!(figure.name, figure.meaning),
            _ => metrics::describe_histogram!(figure.name, figure.meaning),
        }
        let is_ours = figure.name.starts_with("playhouse_");
        if is_ours && figure.kind == "counter" && figure.labels == NONE {
            metrics::counter!(figure.name).increment(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::{Path, PathBuf},
    };

    use regex::Regex;

    use super::*;

    fn sources() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders: Vec<_> = ["src", "actors", "schema"]
            .map(|name| root.join(name))
            .into();
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    found.push(path);
                }
            }
        }
        found
    }

    /// The arguments of a macro, up to the bracket that ends them.
    fn arguments(text: &str) -> &str {
        let mut depth = 1;
        for (at, character) in text.char_indices() {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return &text[..at];
            }
        }
        text
    }

    /// What the code counts: kind and labels by name. Labels that it takes from a variable are not seen.
    fn counted() -> BTreeMap<String, (String, BTreeSet<String>)> {
        let call = Regex::new(r#"\b(counter|gauge|histogram)!\(\s*"(playhouse_\w+)""#).unwrap();
        let label = Regex::new(r#""(\w+)" =>"#).unwrap();
        let mut counted: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        for path in sources() {
            let text = fs::read_to_string(&path).unwrap();
            for found in call.captures_iter(&text) {
                let rest = &text[found.get(0).unwrap().end()..];
                let labels = label.captures_iter(arguments(rest));
                let labels = labels.map(|label| label[1].to_owned());
                let (kind, name) = (found[1].to_owned(), found[2].to_owned());
                let entry = counted.entry(name.clone());
                let known = entry.or_insert_with(|| (kind.clone(), BTreeSet::new()));
                assert_eq!(known.0, kind, "{name} is of two kinds");
                known.1.extend(labels);
            }
        }
        counted
    }

    #[test]
    fn the_page_tells_what_the_code_counts() {
        let counted = counted();
        let told: BTreeMap<_, _> = all().map(|figure| (figure.name, figure)).collect();
        assert_eq!(told.len(), all().count(), "a figure stands there twice");
        let names: BTreeSet<_> = counted.keys().map(String::as_str).collect();
        let described: BTreeSet<_> = told.keys().copied().collect();
        let of_process = super::super::process::NAMES
            .into_iter()
            .map(|(name, _)| name);
        let known: BTreeSet<_> = names.iter().copied().chain(of_process).collect();
        let missing: Vec<_> = known.difference(&described).collect();
        let vain: Vec<_> = described.difference(&known).collect();
        assert!(
            missing.is_empty(),
            "not in ops/docs/metrics.md: {missing:?}"
        );
        assert!(vain.is_empty(), "in ops/docs/metrics.md only: {vain:?}");
        for (name, (kind, labels)) in &counted {
            let figure = told[name.as_str()];
            assert_eq!(figure.kind, kind, "{name}");
            for label in labels {
                assert!(
                    figure.labels.contains(&format!("`{label}`")),
                    "{name} lacks {label}"
                );
            }
        }
        for figure in all() {
            assert!(figure.meaning.ends_with('.'), "{}", figure.name);
        }
    }

    #[test]
    fn what_watches_knows_only_what_is_counted() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
        let name = Regex::new(r"\b(playhouse|process)_[a-z0-9_]+").unwrap();
        let described: BTreeSet<_> = all().map(|figure| figure.name).collect();
        for file in ["prometheus/playhouse.rules.yml", "grafana/playhouse.json"] {
            let text = fs::read_to_string(root.join(file)).unwrap();
            for found in name.find_iter(&text) {
                let found = found.as_str();
                let is_known = ["", "_bucket", "_sum", "_count"].iter().any(|ending| {
                    let stem = found.strip_suffix(ending);
                    stem.is_some_and(|stem| described.contains(stem))
                });
                assert!(is_known, "{file} names {found}");
            }
        }
    }
}

//! `GET /_playhouse/admin/v1/figures`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use crate::edge::{Admin, App, Failure};

/// What all of ours begin with.
const OURS: &str = "playhouse_";

/// Labels over which figures are summed: endpoints and writers by themselves are for Prometheus.
const SUMMED: [&str; 3] = ["method", "path", "writer"];

/// So many figures are told at most; the program has far fewer.
const FIGURES_MAX: usize = 2_000;

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/figures",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// The figures of one node.
#[response]
pub(crate) struct Response {
    /// The node that answers; null where there is only one.
    pub(crate) node: Option<String>,
    /// When this was, milliseconds since the Unix epoch.
    pub(crate) ts: u64,
    /// By name and labels.
    pub(crate) figures: Vec<Figure>,
}

type Labels = BTreeMap<String, String>;

/// A figure as `/metrics` has it, without its distribution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    name: String,
    labels: Labels,
    value: f64,
}

/// Tells the figures of `/metrics` to administrators, summed over endpoints.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response {
        node: app.house.ward().map(|ward| ward.name().to_string()),
        ts: app.env().now_ms(),
        figures: figures(&(app.metrics)()),
    })
}

fn figures(text: &str) -> Vec<Figure> {
    let mut sums: BTreeMap<(String, Labels), f64> = BTreeMap::new();
    for figure in text.lines().filter_map(figure) {
        let of_distribution = figure.name.ends_with("_bucket");
        if of_distribution || !figure.name.starts_with(OURS) || !figure.value.is_finite() {
            continue;
        }
        let mut labels = figure.labels;
        labels.retain(|name, _| !SUMMED.contains(&name.as_str()));
        *sums.entry((figure.name, labels)).or_default() += figure.value;
    }
    let told = sums.into_iter().take(FIGURES_MAX);
    let told = told.map(|((name, labels), value)| Figure {
        name,
        labels,
        value,
    });
    told.collect()
}

/// The figure in a line; comments have none.
fn figure(line: &str) -> Option<Figure> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    Some(Figure {
        name: name.to_owned(),
        labels,
        value: value.trim().parse().ok()?,
    })
}

/// The labels up to the brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(value) = rest.strip_prefix('}') {
            return Some((labels, value));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// A text up to its closing quotation mark, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_summed_over_endpoints() {
        let text = r#"# HELP playhouse_http_requests_total requests
# TYPE playhouse_http_requests_total counter
playhouse_http_requests_total{method="GET",path="/rooms/{room_id}",outcome="ok"} 3
playhouse_http_requests_total{method="PUT",path="/a \"b\" } c",outcome="ok"} 4
playhouse_http_requests_total{method="GET",path="/a",outcome="failed"} 1
playhouse_http_request_seconds_bucket{le="0.5"} 7
playhouse_http_request_seconds_sum 1.5
playhouse_strange NaN
playhouse_broken{a="b
other_figure 1
"#;
        let told = figures(text);
        let told: Vec<_> = told
            .iter()
            .map(|one| {
                let outcome = one.labels.get("outcome").map(String::as_str);
                (one.name.as_str(), outcome, one.labels.len(), one.value)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("playhouse_http_request_seconds_sum", None, 0, 1.5),
                ("playhouse_http_requests_total", Some("failed"), 1, 1.0),
                ("playhouse_http_requests_total", Some("ok"), 1, 7.0),
            ]
        );
    }

    #[test]
    fn labels_are_unquoted() {
        let one = figure(r#"x{a="1 \\ \"2\"\n",b=""} 0.25"#).unwrap();
        assert_eq!(one.labels["a"], "1 \\ \"2\"\n");
        assert_eq!((one.labels["b"].as_str(), one.value), ("", 0.25));
        assert_eq!(figure("# TYPE x counter"), None);
        assert_eq!(figure(""), None);
    }
}

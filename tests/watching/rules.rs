//! The rules themselves, and what is told of them.

use std::process::Command;

use regex::Regex;

use crate::harness::prometheus::RULES;

fn page(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the file can be read")
}

#[test]
fn rules_are_good() {
    let checked = Command::new("promtool")
        .args(["check", "rules", RULES])
        .output()
        .expect("promtool runs: `ops/ci/test` installs it (Debian: apt-get install prometheus)");
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{text}");
}

#[test]
fn every_alert_is_explained() {
    let name = Regex::new(r"(?m)^ *- alert: (\w+)$").expect("an expression");
    let rules = page("ops/prometheus/playhouse.rules.yml");
    let told = page("ops/docs/observability.md");
    let names: Vec<_> = name
        .captures_iter(&rules)
        .map(|found| found[1].to_owned())
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in &names {
        assert!(
            told.contains(&format!("| `{name}` |")),
            "{name} is not explained"
        );
    }
    let row = Regex::new(r"(?m)^\| `(Playhouse\w+)` \|").expect("an expression");
    for found in row.captures_iter(&told) {
        assert!(
            names.contains(&found[1].to_owned()),
            "there is no {}",
            &found[1]
        );
    }
}

#[test]
fn the_dashboard_can_be_read() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&page("ops/grafana/playhouse.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().expect("what it shows");
        assert!(!targets.is_empty(), "{} shows nothing", panel["title"]);
    }
}

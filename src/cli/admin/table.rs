//! What the server says, for people: tables and fields.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Characters of a cell; the rest is cut.
const CELL_MAX: usize = 80;

/// A list in an answer.
pub(super) struct Table {
    /// Where it stands: a list, or an object of which each field is an entry.
    pub(super) rows: &'static str,
    /// The field with what the next page is asked for by (`from`); `None` for lists that have no pages.
    pub(super) next: Option<&'static str>,
    /// Where it is said how many there are on all pages; empty when that is not said.
    pub(super) total: &'static str,
    /// What is shown of each entry.
    pub(super) columns: &'static [Column],
}

/// A column: title, where it stands in an entry, and what it holds.
pub(super) type Column = (&'static str, &'static str, Form);

/// What a cell holds.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// What it says.
    Plain,
    /// Milliseconds since the Unix epoch.
    Time,
    /// A number of bytes.
    Bytes,
}

/// The entries of a list.
pub(super) fn entries(answer: &Value, rows: &str) -> Vec<Value> {
    match answer.pointer(rows) {
        Some(Value::Array(entries)) => entries.clone(),
        Some(Value::Object(fields)) => fields.iter().map(entry).collect(),
        _ => Vec::new(),
    }
}

fn entry((name, value): (&String, &Value)) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), Value::String(name.clone()));
    entry.insert("value".to_owned(), value.clone());
    Value::Object(entry)
}

/// The lines of a table, the first one with the titles.
pub(super) fn lines(columns: &[Column], entries: &[Value]) -> Vec<String> {
    let titles = columns.iter().map(|(title, ..)| (*title).to_owned());
    let mut rows: Vec<Vec<String>> = vec![titles.collect()];
    for entry in entries {
        let cells = columns
            .iter()
            .map(|(_, place, form)| cell(entry.pointer(place), *form));
        rows.push(cells.collect());
    }
    let width = |index: usize| {
        let widths = rows.iter().map(|row| row[index].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn cell(value: Option<&Value>, form: Form) -> String {
    match (value, form) {
        (None | Some(Value::Null), _) => "-".to_owned(),
        (Some(value), Form::Time) => time(value),
        (Some(value), Form::Bytes) => value.as_u64().map_or_else(|| plain(value), bytes),
        (Some(value), Form::Plain) => plain(value),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => harmless(text),
        Value::Array(entries) if entries.iter().all(|entry| !entry.is_object()) => {
            let entries: Vec<_> = entries.iter().map(plain).collect();
            cut(&entries.join(", "))
        }
        other => cut(&harmless_whole(&other.to_string())),
    }
}

/// What users wrote must not steer the terminal.
fn harmless(text: &str) -> String {
    cut(&harmless_whole(text))
}

/// The same, however long it is.
pub(super) fn harmless_whole(text: &str) -> String {
    let shown = text.chars().map(|character| {
        if steers(character) {
            '\u{fffd}'
        } else {
            character
        }
    });
    shown.collect()
}

/// JSON in one line. What would steer a terminal stands in texts only, and there a number may stand for it.
pub(super) fn one_line(value: &Value) -> String {
    let mut shown = String::new();
    for character in value.to_string().chars() {
        if steers(character) {
            let _ = write!(shown, "\\u{:04x}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn cut(text: &str) -> String {
    if text.chars().count() <= CELL_MAX {
        return text.to_owned();
    }
    let head: String = text.chars().take(CELL_MAX - 1).collect();
    format!("{head}…")
}

/// A time as people read it.
fn time(value: &Value) -> String {
    let Some(ms) = value.as_u64() else {
        return plain(value);
    };
    let (days, seconds) = (ms / 86_400_000, ms / 1_000 % 86_400);
    let (year, month, day) = date(days);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!(
        "{year}-{month:02}-{day:02} {hours:02}:{minutes:02}:{:02}",
        seconds % 60
    )
}

/// Year, month and day of a number of days since the Unix epoch: counted in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + later, month, day)
}

fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{size:.1} {}", units[unit]),
    }
}

/// An answer field by field; what is inside of others stands further right.
pub(super) fn fields(value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    push(&mut lines, value, 0);
    lines
}

fn push(lines: &mut Vec<String>, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = harmless(name);
                if is_deep(value) {
                    lines.push(format!("{indent}{name}:"));
                    push(lines, value, depth + 1);
                } else {
                    let is_time = name.ends_with("_ts") || name == "ts" || name == "last_seen";
                    let shown = match value.as_u64() {
                        // Some are seconds, which nobody would take for a time of this century.
                        Some(ms) if is_time && ms > 100_000_000_000 => time(value),
                        _ => whole(value),
                    };
                    lines.push(format!("{indent}{name}: {shown}"));
                }
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                if is_deep(entry) {
                    lines.push(format!("{indent}-"));
                    push(lines, entry, depth + 1);
                } else {
                    lines.push(format!("{indent}- {}", whole(entry)));
                }
            }
        }
        other => lines.push(format!("{indent}{}", whole(other))),
    }
}

fn is_deep(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        _ => false,
    }
}

/// Nothing is cut here.
fn whole(value: &Value) -> String {
    match value {
        Value::String(text) => harmless_whole(text),
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_its_columns_below_each_other() {
        let columns: &[Column] = &[
            ("USER", "/name", Form::Plain),
            ("ADMIN", "/admin", Form::Plain),
            ("MADE", "/creation_ts", Form::Time),
            ("SIZE", "/size", Form::Bytes),
        ];
        let entries = [
            json!({"name": "@anna:a", "admin": true, "creation_ts": 1_790_000_000_000_u64, "size": 2048}),
            json!({"name": "@b\u{1b}[2Jx", "admin": false, "creation_ts": null}),
        ];
        assert_eq!(
            lines(columns, &entries),
            [
                "USER     ADMIN  MADE                 SIZE",
                "@anna:a  yes    2026-09-21 14:13:20  2.0 KiB",
                "@b\u{fffd}[2Jx  no     -                    -",
            ]
        );
    }

    #[test]
    fn json_steers_no_terminal_and_says_the_same() {
        let value = json!({"na\u{9b}me": "\u{1b}[2J \u{9d}0;x\u{7f} \u{202e}é \\ \u{1f600}"});
        let shown = one_line(&value);
        assert!(!shown.contains(steers), "{shown}");
        assert!(shown.contains("\\u009b") && shown.contains('é'), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(59), (1970, 3, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(20_453), (2025, 12, 31));
    }

    #[test]
    fn an_answer_is_shown_field_by_field() {
        let answer = json!({
            "name": "x", "none": null, "empty": [], "list": [1, {"a": true}], "seen_ts": 1_790_000_000_000_u64
        });
        let mut shown = fields(&answer);
        shown.sort();
        let mut wanted = [
            "empty: ",
            "list:",
            "  - 1",
            "  -",
            "    a: yes",
            "name: x",
            "none: -",
            "seen_ts: 2026-09-21 14:13:20",
        ];
        wanted.sort_unstable();
        assert_eq!(shown, wanted);
        let map = json!({"memberships": {"!a": "join"}});
        assert_eq!(
            entries(&map, "/memberships"),
            [json!({"name": "!a", "value": "join"})]
        );
    }
}

//! Two answers to the same call, field by field, and the table of differences that are known.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::{Map, Value};

/// Fields whose values nobody can foretell: only their type is compared.
const VOLATILE: [&str; 30] = [
    "access_token",
    "age",
    "age_ts",
    "auth_events",
    "created_ts",
    "creation_ts",
    "delete_id",
    "depth",
    "end",
    "error",
    "event_id",
    "failure_ts",
    "hashes",
    "id",
    "last_access_ts",
    "last_seen",
    "last_seen_ip",
    "last_seen_ts",
    "new_room_id",
    "nonce",
    "origin_server_ts",
    "prev_events",
    "purge_id",
    "received_ts",
    "redact_id",
    "server_version",
    "sha256",
    "signatures",
    "start",
    "timestamp_ms",
];

/// Smaller numbers count something and are the same; larger ones are times and places.
const COUNTS_BELOW: u64 = 1_000_000;

/// By these fields lists are sorted that have no order.
const KEYS: [&str; 9] = [
    "type",
    "state_key",
    "device_id",
    "room_id",
    "token",
    "name",
    "destination",
    "delete_id",
    "event_id",
];

/// What differs at one place of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    /// Where: `/status`, or `/body` and a pointer into it with `*` for each entry of a list.
    pub(super) place: String,
    /// What Synapse answers there.
    pub(super) synapse: String,
    /// What this server answers there.
    pub(super) ours: String,
}

/// Everything in which two answers differ.
pub(super) fn differences(synapse: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", (synapse, ours), &mut found);
    // Entries of a list differ in the same way: told once.
    found.sort();
    found.dedup();
    found
}

fn compare(place: &str, (synapse, ours): (&Value, &Value), found: &mut Vec<Difference>) {
    let (_, name) = place.rsplit_once('/').unwrap_or_default();
    match (synapse, ours) {
        (Value::Object(left), Value::Object(right)) if !VOLATILE.contains(&name) => {
            objects(place, (left, right), found);
        }
        (Value::Array(left), Value::Array(right)) if !VOLATILE.contains(&name) => {
            if left.len() != right.len() {
                found.push(Difference {
                    place: place.to_owned(),
                    synapse: format!("{} entries", left.len()),
                    ours: format!("{} entries", right.len()),
                });
            }
            for pair in left.iter().zip(right) {
                compare(&format!("{place}/*"), pair, found);
            }
        }
        _ => {
            if !are_alike(name, synapse, ours) {
                found.push(Difference {
                    place: place.to_owned(),
                    synapse: described(synapse),
                    ours: described(ours),
                });
            }
        }
    }
}

fn objects(
    place: &str,
    (synapse, ours): (&Map<String, Value>, &Map<String, Value>),
    found: &mut Vec<Difference>,
) {
    let names: BTreeSet<_> = synapse.keys().chain(ours.keys()).collect();
    for name in names {
        let place = format!("{place}/{}", name.replace('/', "~1"));
        match (synapse.get(name), ours.get(name)) {
            (Some(left), Some(right)) => compare(&place, (left, right), found),
            (left, right) => found.push(Difference {
                place,
                synapse: left.map_or_else(|| "absent".to_owned(), described),
                ours: right.map_or_else(|| "absent".to_owned(), described),
            }),
        }
    }
}

fn are_alike(name: &str, synapse: &Value, ours: &Value) -> bool {
    let same_type = std::mem::discriminant(synapse) == std::mem::discriminant(ours);
    if VOLATILE.contains(&name) {
        return same_type;
    }
    match (synapse.as_u64(), ours.as_u64()) {
        (Some(left), Some(right)) => {
            left == right || (left >= COUNTS_BELOW && right >= COUNTS_BELOW)
        }
        _ => synapse == ours,
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(entries) => format!("{} entries", entries.len()),
        Value::String(text) if text.chars().count() > 40 => "a long text".to_owned(),
        other => other.to_string(),
    }
}

/// Sorts all lists in an answer: for calls that have no order.
pub(super) fn sort(value: &mut Value) {
    match value {
        Value::Array(entries) => {
            entries.iter_mut().for_each(sort);
            entries.sort_by_key(key);
        }
        Value::Object(fields) => fields.values_mut().for_each(sort),
        _ => {}
    }
}

fn key(entry: &Value) -> String {
    match entry {
        Value::Object(fields) => {
            let named = KEYS.iter().filter_map(|name| fields.get(*name));
            let named: Vec<_> = named.map(ToString::to_string).collect();
            named.join(" ")
        }
        other => other.to_string(),
    }
}

/// A difference that is known.
struct Known {
    /// Method and path of the row, or of one call, or `*`.
    row: String,
    /// The place, `*` for any part of it and `**` at the end for all that is below.
    place: String,
    /// What Synapse answers, or `*`.
    synapse: String,
    reason: String,
}

/// The table of known differences.
pub(super) struct Table {
    known: Vec<Known>,
    used: RefCell<BTreeSet<usize>>,
}

impl Table {
    /// Reads `known.tsv`.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let known = lines.map(|line| {
            let cells: Vec<_> = line.split('\t').map(ToOwned::to_owned).collect();
            let cells: [String; 4] = cells
                .try_into()
                .unwrap_or_else(|_| panic!("four cells: {line}"));
            let [row, place, synapse, reason] = cells;
            assert!(!reason.is_empty(), "no reason: {line}");
            Known {
                row,
                place,
                synapse,
                reason,
            }
        });
        Self {
            known: known.collect(),
            used: RefCell::default(),
        }
    }

    /// Why a difference is as it is, if it is known; by the names of row and call.
    pub(super) fn reason(&self, names: [&str; 2], difference: &Difference) -> Option<&str> {
        let found = self.known.iter().position(|known| {
            (known.row == "*" || names.contains(&known.row.as_str()))
                && (known.synapse == "*" || known.synapse == difference.synapse)
                && fits(&known.place, &difference.place)
        })?;
        self.used.borrow_mut().insert(found);
        Some(self.known[found].reason.as_str())
    }

    /// Entries that no difference needed.
    pub(super) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let unused = self.known.iter().enumerate();
        unused
            .filter(|(index, _)| !used.contains(index))
            .map(|(_, known)| format!("{} {} {}", known.row, known.place, known.synapse))
            .collect()
    }
}

fn fits(pattern: &str, place: &str) -> bool {
    let mut place = place.split('/');
    for part in pattern.split('/') {
        if part == "**" {
            return true;
        }
        let Some(found) = place.next() else {
            return false;
        };
        if part != "*" && part != found {
            return false;
        }
    }
    place.next().is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_found() {
        let synapse = json!({
            "status": 200, "body": {"total": 2, "users": [{"name": "a", "admin": false, "creation_ts": 1}], "left": null}
        });
        let ours = json!({
            "status": 200, "body": {"total": 3, "users": [{"name": "a", "admin": true, "creation_ts": 2}], "more": 1}
        });
        let found = differences(&synapse, &ours);
        let places: Vec<_> = found.iter().map(|one| one.place.as_str()).collect();
        assert_eq!(
            places,
            [
                "/body/left",
                "/body/more",
                "/body/total",
                "/body/users/*/admin"
            ]
        );
        assert_eq!((&*found[0].synapse, &*found[0].ours), ("null", "absent"));
        let times = [
            json!({"at": 1_790_000_000_000_u64}),
            json!({"at": 1_800_000_000_000_u64}),
        ];
        assert!(differences(&times[0], &times[1]).is_empty());
        assert_eq!(differences(&json!({"id": 1}), &json!({"id": "1"})).len(), 1);
    }

    #[test]
    fn known_differences_are_found_by_pattern() {
        let table = Table::read(
            "# row\tplace\tsynapse\treason\n*\t/body/errcode\t\"M_UNKNOWN\"\tours says more\nGET /a\t/body/*/b/**\t*\tso it is",
        );
        let difference = |place: &str, synapse: &str| Difference {
            place: place.to_owned(),
            synapse: synapse.to_owned(),
            ours: "x".to_owned(),
        };
        let errcode = difference("/body/errcode", "\"M_UNKNOWN\"");
        assert_eq!(
            table.reason(["GET /x", ""], &errcode),
            Some("ours says more")
        );
        let other = difference("/body/errcode", "\"M_FORBIDDEN\"");
        assert_eq!(table.reason(["GET /x", ""], &other), None);
        assert_eq!(table.unused().len(), 1);
        let below = difference("/body/a/b/c/d", "1");
        assert_eq!(table.reason(["GET /a", ""], &below), Some("so it is"));
        assert_eq!(table.reason(["GET /b", ""], &below), None);
        assert!(table.unused().is_empty());
    }

    #[test]
    fn lists_without_order_are_sorted() {
        let mut value = json!({"a": [{"type": "b"}, {"type": "a", "state_key": ""}, {"type": "a"}], "b": [2, 1]});
        sort(&mut value);
        assert_eq!(value["a"][0]["type"], "a");
        assert_eq!(value["b"], json!([1, 2]));
    }
}

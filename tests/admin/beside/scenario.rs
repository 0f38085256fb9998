//! The calls that are compared, and the rows of the specification that they cover.

use reqwest::Method;

/// A call, made to both servers.
pub(super) struct Call {
    /// Who makes it.
    pub(super) who: String,
    pub(super) method: Method,
    /// Path and query, with names in braces.
    pub(super) path: String,
    /// JSON, with names in braces.
    pub(super) body: Option<String>,
    /// Names for what an answer says, and where it says it.
    pub(super) keep: Vec<(String, String)>,
    /// Where both servers say what when the call is over: until then it is made again.
    pub(super) until: Option<(String, String)>,
    /// Lists are compared whatever their order.
    pub(super) any_order: bool,
}

impl Call {
    /// As it is written in tables.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Reads `calls.txt`.
pub(super) fn calls(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(more) = line.strip_prefix("> ") {
            let last = calls.last_mut().expect("a call stands above");
            let words: Vec<_> = more.split(' ').collect();
            match words[..] {
                ["as", who] => last.who = who.to_owned(),
                ["keep", name, pointer] => last.keep.push((name.to_owned(), pointer.to_owned())),
                ["until", pointer, text] => {
                    last.until = Some((pointer.to_owned(), text.to_owned()));
                }
                ["any", "order"] => last.any_order = true,
                _ => panic!("what does it mean? {line}"),
            }
            continue;
        }
        let (method, rest) = line.split_once(' ').expect("a method and a path");
        let (path, body) = match rest.split_once(' ') {
            Some((path, body)) => (path, Some(body.to_owned())),
            None => (rest, None),
        };
        calls.push(Call {
            who: "boss".to_owned(),
            method: method.parse().expect("a method"),
            path: path.to_owned(),
            body,
            keep: Vec::new(),
            until: None,
            any_order: false,
        });
    }
    calls
}

/// A row of the specification: method and path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) method: String,
    pub(super) path: String,
}

impl Row {
    /// As it is written in tables.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// How many parts of a path this row names literally; `None` when it is not this row's.
    fn likeness(&self, method: &Method, path: &str) -> Option<usize> {
        let (own, asked): (Vec<_>, Vec<_>) =
            (self.path.split('/').collect(), path.split('/').collect());
        if self.method != method.as_str() || own.len() != asked.len() {
            return None;
        }
        let mut literal = 0;
        for (own, asked) in own.iter().zip(&asked) {
            if own == asked {
                literal += 1;
            } else if !own.starts_with('{') {
                return None;
            }
        }
        Some(literal)
    }
}

/// Reads a table whose first two columns are method and path.
pub(super) fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let mut cells = line.split('\t').map(ToOwned::to_owned);
        Row {
            method: cells.next().expect("a method"),
            path: cells.next().expect("a path"),
        }
    });
    rows.collect()
}

/// The row that a call belongs to.
pub(super) fn row_of<'a>(rows: &'a [Row], call: &Call) -> &'a Row {
    let (path, _) = call.path.split_once('?').unwrap_or((&call.path, ""));
    let found = rows
        .iter()
        .filter_map(|row| Some((row.likeness(&call.method, path)?, row)))
        .max_by_key(|(literal, _)| *literal);
    let (_, row) = found.unwrap_or_else(|| panic!("no row: {} {}", call.method, call.path));
    row
}

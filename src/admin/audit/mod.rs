//! What administrators have changed: who, when, what, how it was and how it is; and taking it back.

mod get_change;
mod list_changes;
mod undo_change;

use playhouse_actors::{
    admins::AdminRole,
    house::{Change, Undo},
};
use serde::Serialize;
use serde_json::Value;

use crate::edge::{Failure, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_changes::handle);
    routes.mount(get_change::handle);
    // Which of the two it takes depends on what is taken back.
    let undo = routes.mount(undo_change::handle);
    undo.role(AdminRole::Moderate).or_role(AdminRole::Operate);
}

/// A change as administrators see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    id: u64,
    /// When it was begun, milliseconds since the Unix epoch.
    ts: u64,
    /// Who made it.
    by: String,
    /// Method and path.
    action: String,
    /// About what kind of thing.
    kind: Option<String>,
    /// About what.
    target: Option<String>,
    /// What was asked for, without secrets.
    request: Value,
    /// How the target stood.
    before: Value,
    /// How it stood when the change was made.
    after: Value,
    /// The HTTP status that was answered; null when it is not known what became of the change.
    status: Option<u16>,
    /// The change that this one took back.
    undoes: Option<u64>,
    /// The change that took this one back.
    undone_by: Option<u64>,
    can_be_undone: bool,
    /// Why it cannot be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
}

impl From<Change> for Shown {
    fn from(change: Change) -> Self {
        let undo = Undo::of(&change);
        let why_not = undo.as_ref().err().map(ToString::to_string);
        let (begun, ended) = (change.begun, change.ended);
        let status = ended.as_ref().map(|ended| ended.status);
        let (later, after) = ended.map_or((None, None), |ended| (ended.target, ended.after));
        let target = later.or(begun.target);
        let kind = target.as_ref().map(|target| target.kind.clone());
        let is_secret = kind.as_deref() == Some("registration_token");
        let target = target.map(|target| match is_secret {
            true => shortened(&target.name),
            false => target.name,
        });
        Self {
            id: change.id,
            ts: begun.at_ms,
            by: begun.by,
            action: begun.action,
            kind,
            target,
            request: parsed(Some(begun.request)),
            before: parsed(begun.before),
            after: parsed(after),
            status,
            undoes: begun.undoes,
            undone_by: change.undone_by,
            can_be_undone: why_not.is_none(),
            why_not,
        }
    }
}

fn parsed(text: Option<String>) -> Value {
    let text = text.unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Enough of a registration token to know it again by, and not to use it.
fn shortened(token: &str) -> String {
    let shown = token.chars().count().min(8) / 2;
    let mut text: String = token.chars().take(shown).collect();
    text.push('…');
    text
}

/// The number of a change in a path.
fn number(id: &str) -> Result<u64, Failure> {
    id.parse()
        .map_err(|_| Failure::not_found("there is no such change"))
}

//! `playhouse admin policy …`

use serde_json::{Value, json};

use super::{
    DAY_MS,
    call::{Call, Doing},
    table::{Form, Table},
};

/// Rules by which is moderated.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List policies
    List,
    /// List when policies were applied, the newest first
    Runs,
    /// Show a policy, and when it was applied
    Show { policy: String },
    /// Write a policy down, in place of one of the same name; it does nothing until it is applied
    Save {
        policy: String,
        #[command(flatten)]
        rule: Box<Rule>,
    },
    /// Delete a policy; what it did stays
    Delete { policy: String },
    /// Show what a policy would do now, and the token with which it is applied
    DryRun { policy: String },
    /// Do what a dry run has shown; `audit undo` takes it back
    Apply {
        policy: String,
        /// The token of the dry run
        token: String,
        /// Reject the invites for good, and tell the servers of the rooms: this cannot be taken back
        #[arg(long)]
        tell_servers: bool,
    },
}

// What a policy matches: pending invites for which all of it fits; in texts * stands for any characters, ? for one.
#[derive(clap::Args)]
pub(super) struct Rule {
    /// The user ID of who invites, a pattern
    #[arg(long, value_name = "PATTERN")]
    inviter: Option<String>,
    /// The server of who invites, a pattern
    #[arg(long, value_name = "PATTERN")]
    inviter_server: Option<String>,
    /// The room ID, a pattern
    #[arg(long, value_name = "PATTERN")]
    room: Option<String>,
    /// The room's name, a pattern
    #[arg(long, value_name = "PATTERN")]
    room_name: Option<String>,
    /// The user ID of who is invited, a pattern
    #[arg(long, value_name = "PATTERN")]
    user: Option<String>,
    /// Invites that came at least so many days ago
    #[arg(long, value_name = "DAYS")]
    older: Option<u64>,
    /// Invites that came at most so many days ago
    #[arg(long, value_name = "DAYS")]
    newer: Option<u64>,
}

static POLICIES: Table = Table {
    rows: "/policies",
    next: None,
    total: "",
    columns: &[
        ("POLICY", "/name", Form::Plain),
        ("RULE", "/rule", Form::Plain),
        ("WRITTEN", "/ts", Form::Time),
        ("BY", "/by", Form::Plain),
    ],
};

static RUNS: Table = Table {
    rows: "/runs",
    next: None,
    total: "",
    columns: &[
        ("RUN", "/run", Form::Plain),
        ("POLICY", "/policy", Form::Plain),
        ("BEGUN", "/ts", Form::Time),
        ("BY", "/by", Form::Plain),
        ("INVITES", "/invites", Form::Plain),
        ("USERS", "/users", Form::Plain),
        ("UNDONE BY", "/undone_by", Form::Plain),
    ],
};

const ALL: &str = "/_playhouse/admin/v1/policies";
const ONE: &str = "/_playhouse/admin/v1/policies/{}";

impl Command {
    pub(super) fn doing(self) -> Doing {
        match self {
            Command::List => Doing::List(Call::get(ALL), &POLICIES, 0),
            Command::Runs => Doing::List(Call::get(ALL), &RUNS, 0),
            Command::Show { policy } => Doing::Show(Call::get(ONE).of(policy)),
            Command::Save { policy, rule } => {
                let said = format!("Written: {policy}");
                Doing::Do(Call::put(ONE).of(policy).with(rule.body()), said)
            }
            Command::Delete { policy } => {
                let said = format!("Deleted: {policy}");
                Doing::Do(Call::delete(ONE).of(policy), said)
            }
            Command::DryRun { policy } => {
                let call = Call::get("/_playhouse/admin/v1/policies/{}/dry_run");
                Doing::Show(call.of(policy))
            }
            Command::Apply {
                policy,
                token,
                tell_servers,
            } => {
                let call = Call::post("/_playhouse/admin/v1/policies/{}/apply").of(policy);
                let body = json!({"token": token, "tell_servers": tell_servers});
                Doing::Show(call.with(body))
            }
        }
    }
}

impl Rule {
    fn body(self) -> Value {
        let texts = [
            ("inviter", self.inviter),
            ("inviter_server", self.inviter_server),
            ("room_id", self.room),
            ("room_name", self.room_name),
            ("user_id", self.user),
        ];
        let mut body = json!({});
        for (name, text) in texts {
            if let Some(text) = text {
                body[name] = Value::String(text);
            }
        }
        for (name, days) in [("age_min_ms", self.older), ("age_max_ms", self.newer)] {
            if let Some(days) = days {
                body[name] = json!(days.saturating_mul(DAY_MS));
            }
        }
        body
    }
}

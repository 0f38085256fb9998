//! `playhouse admin report …`

use super::{
    Names, Page,
    call::{Call, Doing},
    table::{Form, Table},
};

/// What users complained of.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List reported events, the newest first
    List {
        /// Only of this room
        #[arg(long, value_name = "ROOM_ID")]
        room: Option<String>,
        /// Only by this user
        #[arg(long, value_name = "USER")]
        by: Option<String>,
        /// Only of events of this user
        #[arg(long, value_name = "USER")]
        sender: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a report with the event
    Show { id: u64 },
    /// Delete a report
    Delete { id: u64 },
    /// List reported users, the newest first
    Users {
        /// Only of this user
        #[arg(long, value_name = "USER")]
        target: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a report of a user
    ShowUser { id: u64 },
    /// Delete a report of a user
    DeleteUser { id: u64 },
}

static EVENTS: Table = Table {
    rows: "/event_reports",
    next: Some("next_token"),
    total: "/total",
    columns: &[
        ("REPORT", "/id", Form::Plain),
        ("CAME", "/received_ts", Form::Time),
        ("BY", "/user_id", Form::Plain),
        ("ROOM", "/room_id", Form::Plain),
        ("SENDER", "/sender", Form::Plain),
        ("REASON", "/reason", Form::Plain),
    ],
};

static USERS: Table = Table {
    rows: "/user_reports",
    next: Some("next_token"),
    total: "/total",
    columns: &[
        ("REPORT", "/id", Form::Plain),
        ("CAME", "/received_ts", Form::Time),
        ("BY", "/user_id", Form::Plain),
        ("USER", "/target_user_id", Form::Plain),
        ("REASON", "/reason", Form::Plain),
    ],
};

const EVENT: &str = "/_synapse/admin/v1/event_reports/{}";
const USER: &str = "/_synapse/admin/v1/user_reports/{}";

impl Command {
    pub(super) fn doing(self, names: &Names) -> Doing {
        let user = |name: Option<String>| name.map(|name| names.user(&name));
        match self {
            Command::List {
                room,
                by,
                sender,
                page,
            } => {
                let call = Call::get("/_synapse/admin/v1/event_reports")
                    .ask_if("room_id", room)
                    .ask_if("user_id", user(by))
                    .ask_if("event_sender_user_id", user(sender));
                Doing::List(call, &EVENTS, page.limit)
            }
            Command::Show { id } => Doing::Show(Call::get(EVENT).of(id.to_string())),
            Command::Delete { id } => {
                let call = Call::delete(EVENT).of(id.to_string());
                Doing::Do(call, format!("Deleted: {id}"))
            }
            Command::Users { target, page } => {
                let call = Call::get("/_synapse/admin/v1/user_reports");
                let call = call.ask_if("target_user_id", user(target));
                Doing::List(call, &USERS, page.limit)
            }
            Command::ShowUser { id } => Doing::Show(Call::get(USER).of(id.to_string())),
            Command::DeleteUser { id } => {
                let call = Call::delete(USER).of(id.to_string());
                Doing::Do(call, format!("Deleted: {id}"))
            }
        }
    }
}

//! `playhouse admin destination …`

use super::{
    Page,
    call::{Call, Doing},
    table::{Form, Table},
};

/// Other servers, to which something is sent.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List them, and what they lack
    List {
        /// Only those that lack something
        #[arg(long)]
        unfinished: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show one
    Show { server_name: String },
    /// List the rooms that are shared with one
    Rooms {
        server_name: String,
        #[command(flatten)]
        page: Page,
    },
    /// Try one at once, although it has failed
    Reset { server_name: String },
}

static ALL: Table = Table {
    rows: "/destinations",
    next: Some("next"),
    total: "",
    columns: &[
        ("SERVER", "/server_name", Form::Plain),
        ("STATE", "/state", Form::Plain),
        ("FAILURES", "/failures", Form::Plain),
        ("SINCE", "/failing_since_ts", Form::Time),
        ("NEXT ATTEMPT", "/next_attempt_ts", Form::Time),
        ("LAST SUCCESS", "/last_success_ts", Form::Time),
        ("WAITING", "/waiting", Form::Plain),
        ("OLDEST", "/oldest_undelivered/event_id", Form::Plain),
    ],
};

static ROOMS: Table = Table {
    rows: "/rooms",
    next: Some("next_token"),
    total: "/total",
    columns: &[("ROOM", "/room_id", Form::Plain)],
};

const ONE: &str = "/_synapse/admin/v1/federation/destinations/{}";

impl Command {
    pub(super) fn doing(self) -> Doing {
        match self {
            Command::List { unfinished, page } => {
                let call = Call::get("/_playhouse/admin/v1/destinations");
                let call = call.ask("unfinished", unfinished);
                Doing::List(call, &ALL, page.limit)
            }
            Command::Show { server_name } => Doing::Show(Call::get(ONE).of(server_name)),
            Command::Rooms { server_name, page } => {
                let call = Call::get("/_synapse/admin/v1/federation/destinations/{}/rooms");
                Doing::List(call.of(server_name), &ROOMS, page.limit)
            }
            Command::Reset { server_name } => {
                let path = "/_synapse/admin/v1/federation/destinations/{}/reset_connection";
                let said = format!("Tried at once: {server_name}");
                Doing::Do(Call::post(path).of(server_name), said)
            }
        }
    }
}

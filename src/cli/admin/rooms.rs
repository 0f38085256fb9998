//! `playhouse admin room …`

use serde_json::json;

use super::{
    Names, Page, Switch, before,
    call::{Call, Doing},
    table::{Form, Table},
    work::Work,
};
use crate::cli::output::Problem;

/// Rooms, by their IDs.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List rooms
    List(Filter),
    /// Show a room
    Show { room_id: String },
    /// List who is in a room
    Members { room_id: String },
    /// Show the state of a room
    State {
        room_id: String,
        /// Only of this event type
        #[arg(long = "type")]
        event_type: Option<String>,
    },
    /// List what was said in a room, the newest first
    Messages {
        room_id: String,
        #[command(flatten)]
        page: Page,
    },
    /// List the media that a room shows
    Media { room_id: String },
    /// Keep everybody of this server out of a room, or let them in again
    Block { room_id: String, switch: Switch },
    /// Bring a user of this server into a room
    Join { room: String, user: String },
    /// Give a user as much power as the most powerful user of this server has in a room
    MakeAdmin { room: String, user: String },
    /// Let all users of this server leave a room, delete its data, and wait for it
    Delete(Deletion),
    /// Take the history out of a room, and wait for it
    Purge(Purge),
    /// List deletions of a room
    Deletions { room_id: String },
    /// Show what a room takes in the log
    Storage { room_id: String },
    /// Show where a room's event graph ends, and which keys of its state were reset
    Graph { room_id: String },
    /// Show which event is in force under a key, which events allow it, and what it replaced
    Why {
        room_id: String,
        event_type: String,
        #[arg(default_value = "")]
        state_key: String,
    },
    /// Ask other servers for a room's state, and show how it differs
    Compare {
        room_id: String,
        #[arg(required = true)]
        servers: Vec<String>,
    },
    /// Events of other servers that wait in a room until what they rest on has come
    #[command(subcommand)]
    Parked(Parked),
    /// Let a room read its whole log again, whatever its snapshot says
    Refold { room_id: String },
    /// Let the ends of a room's event graph become one
    JoinEnds { room: String },
}

/// What is done with events that wait.
#[derive(clap::Subcommand)]
pub(super) enum Parked {
    /// List them
    List { room_id: String },
    /// Try all of them again
    Retry { room_id: String },
    /// Give one up
    Discard { room_id: String, event_id: String },
}

/// Which rooms are wanted.
#[derive(clap::Args)]
pub(super) struct Filter {
    /// With this in name, alias or ID
    #[arg(long)]
    search: Option<String>,
    /// Only those in the directory, or only others
    #[arg(long)]
    public: Option<bool>,
    /// Only those without members, or only others
    #[arg(long)]
    empty: Option<bool>,
    /// name, joined_members, joined_local_members, state_events, version, creator …
    #[arg(long, default_value = "name")]
    order_by: String,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    page: Page,
}

/// How a room is deleted.
#[derive(clap::Args)]
pub(super) struct Deletion {
    room_id: String,
    /// Nobody of this server comes in any more
    #[arg(long)]
    block: bool,
    /// The room's data stays
    #[arg(long)]
    keep: bool,
    /// Also when somebody could not be made to leave
    #[arg(long)]
    force: bool,
    /// Who makes a room for the members to come into
    #[arg(long, value_name = "USER")]
    new_room_by: Option<String>,
    /// The name of that room
    #[arg(long, requires = "new_room_by")]
    new_room_name: Option<String>,
    /// What is said in that room
    #[arg(long, requires = "new_room_by")]
    message: Option<String>,
}

/// What history goes.
#[derive(clap::Args)]
pub(super) struct Purge {
    room_id: String,
    /// What is older than this event
    #[arg(long, value_name = "EVENT_ID", required_unless_present_any = ["older_days", "before_ts"])]
    before_event: Option<String>,
    /// What came before so many days
    #[arg(long, value_name = "DAYS", conflicts_with = "before_event")]
    older_days: Option<u64>,
    /// What came before this time, milliseconds since the Unix epoch
    #[arg(long, value_name = "MS", conflicts_with_all = ["before_event", "older_days"])]
    before_ts: Option<u64>,
    /// Also what users of this server sent, which may be the only copy
    #[arg(long)]
    local_events: bool,
}

static ROOMS: Table = Table {
    rows: "/rooms",
    next: Some("next_batch"),
    total: "/total_rooms",
    columns: &[
        ("ROOM", "/room_id", Form::Plain),
        ("NAME", "/name", Form::Plain),
        ("ALIAS", "/canonical_alias", Form::Plain),
        ("MEMBERS", "/joined_members", Form::Plain),
        ("HERE", "/joined_local_members", Form::Plain),
        ("VERSION", "/version", Form::Plain),
        ("PUBLIC", "/public", Form::Plain),
        ("ENCRYPTION", "/encryption", Form::Plain),
    ],
};

static MEMBERS: Table = Table {
    rows: "/members",
    next: None,
    total: "/total",
    columns: &[("USER", "", Form::Plain)],
};

static STATE: Table = Table {
    rows: "/state",
    next: None,
    total: "",
    columns: &[
        ("TYPE", "/type", Form::Plain),
        ("KEY", "/state_key", Form::Plain),
        ("SENDER", "/sender", Form::Plain),
        ("SENT", "/origin_server_ts", Form::Time),
        ("CONTENT", "/content", Form::Plain),
    ],
};

static MESSAGES: Table = Table {
    rows: "/chunk",
    next: Some("end"),
    total: "",
    columns: &[
        ("SENT", "/origin_server_ts", Form::Time),
        ("SENDER", "/sender", Form::Plain),
        ("TYPE", "/type", Form::Plain),
        ("EVENT", "/event_id", Form::Plain),
        ("CONTENT", "/content", Form::Plain),
    ],
};

static PARKED: Table = Table {
    rows: "/parked",
    next: None,
    total: "",
    columns: &[
        ("EVENT", "/event_id", Form::Plain),
        ("SERVER", "/server_name", Form::Plain),
        ("SINCE", "/ts", Form::Time),
        ("LACKS", "/lacks", Form::Plain),
    ],
};

static DELETIONS: Table = Table {
    rows: "/results",
    next: None,
    total: "",
    columns: &[
        ("DELETION", "/delete_id", Form::Plain),
        ("STATUS", "/status", Form::Plain),
        ("ERROR", "/error", Form::Plain),
    ],
};

static DELETING: Work = Work {
    id: "/delete_id",
    status: "/_synapse/admin/v2/rooms/delete_status/{}",
    label: "users made to leave",
    count: "/shutdown_room/kicked_users",
    undone: Some((
        "/shutdown_room/failed_to_kick_users",
        "users who could not be made to leave",
    )),
};

static PURGING: Work = Work {
    id: "/purge_id",
    status: "/_synapse/admin/v1/purge_history_status/{}",
    label: "purging history, seconds",
    count: "",
    undone: None,
};

impl Command {
    pub(super) fn doing(self, names: &Names) -> Result<Doing, Problem> {
        let show = |template, room_id: String| Doing::Show(Call::get(template).of(room_id));
        Ok(match self {
            Command::List(filter) => filter.doing(),
            Command::Show { room_id } => show("/_synapse/admin/v1/rooms/{}", room_id),
            Command::Media { room_id } => show("/_synapse/admin/v1/room/{}/media", room_id),
            Command::Storage { room_id } => show("/_playhouse/admin/v1/rooms/{}/storage", room_id),
            Command::Graph { room_id } => show("/_playhouse/admin/v1/rooms/{}/graph", room_id),
            Command::Why {
                room_id,
                event_type,
                state_key,
            } => {
                let call = Call::get("/_playhouse/admin/v1/rooms/{}/state/why").of(room_id);
                Doing::Show(call.ask("type", event_type).ask("state_key", state_key))
            }
            Command::Compare { room_id, servers } => {
                let call = Call::get("/_playhouse/admin/v1/rooms/{}/compare").of(room_id);
                let servers = servers.into_iter();
                Doing::Show(servers.fold(call, |call, name| call.ask("server_name", name)))
            }
            Command::Members { room_id } => {
                let call = Call::get("/_synapse/admin/v1/rooms/{}/members").of(room_id);
                Doing::List(call, &MEMBERS, 0)
            }
            Command::State {
                room_id,
                event_type,
            } => {
                let call = Call::get("/_synapse/admin/v1/rooms/{}/state").of(room_id);
                Doing::List(call.ask_if("type", event_type), &STATE, 0)
            }
            Command::Messages { room_id, page } => {
                let call = Call::get("/_synapse/admin/v1/rooms/{}/messages").of(room_id);
                Doing::List(call.ask("dir", "b"), &MESSAGES, page.limit)
            }
            Command::Deletions { room_id } => {
                let call = Call::get("/_synapse/admin/v2/rooms/{}/delete_status").of(room_id);
                Doing::List(call, &DELETIONS, 0)
            }
            Command::Parked(parked) => parked.doing(),
            other => other.changing(names)?,
        })
    }

    fn changing(self, names: &Names) -> Result<Doing, Problem> {
        Ok(match self {
            Command::Block { room_id, switch } => {
                let call = Call::put("/_synapse/admin/v1/rooms/{}/block");
                let said = switch.said("Blocked", &room_id);
                let call = call.of(room_id).with(json!({"block": switch.is_on()}));
                Doing::Do(call, said)
            }
            Command::Join { room, user } => {
                let call = Call::post("/_synapse/admin/v1/join/{}");
                let user_id = names.user(&user);
                let said = format!("{user_id} is in {room}.");
                Doing::Do(call.of(room).with(json!({"user_id": user_id})), said)
            }
            Command::MakeAdmin { room, user } => {
                let call = Call::post("/_synapse/admin/v1/rooms/{}/make_room_admin");
                let user_id = names.user(&user);
                let said = format!("{user_id} has power in {room}.");
                Doing::Do(call.of(room).with(json!({"user_id": user_id})), said)
            }
            Command::Refold { room_id } => {
                let call = Call::post("/_playhouse/admin/v1/rooms/{}/refold");
                Doing::Show(call.of(room_id))
            }
            Command::JoinEnds { room } => {
                let call = Call::delete("/_synapse/admin/v1/rooms/{}/forward_extremities");
                Doing::Show(call.of(room))
            }
            Command::Delete(deletion) => deletion.doing(names),
            Command::Purge(purge) => purge.doing(),
            _ => return Err(Problem::new("this changes nothing")),
        })
    }
}

impl Parked {
    fn doing(self) -> Doing {
        match self {
            Parked::List { room_id } => {
                let call = Call::get("/_playhouse/admin/v1/rooms/{}/graph").of(room_id);
                Doing::List(call, &PARKED, 0)
            }
            Parked::Retry { room_id } => {
                let call = Call::post("/_playhouse/admin/v1/rooms/{}/parked/retry");
                Doing::Show(call.of(room_id))
            }
            Parked::Discard { room_id, event_id } => {
                let said = format!("Given up: {event_id}");
                let call = Call::delete("/_playhouse/admin/v1/rooms/{}/parked/{}");
                Doing::Do(call.of(room_id).of(event_id), said)
            }
        }
    }
}

impl Filter {
    fn doing(self) -> Doing {
        let dir = if self.reverse { "b" } else { "f" };
        let call = Call::get("/_synapse/admin/v1/rooms")
            .ask("order_by", self.order_by)
            .ask("dir", dir)
            .ask_if("search_term", self.search)
            .ask_if("public_rooms", self.public)
            .ask_if("empty_rooms", self.empty);
        Doing::List(call, &ROOMS, self.page.limit)
    }
}

impl Deletion {
    fn doing(self, names: &Names) -> Doing {
        let new_room_by = self.new_room_by.map(|name| names.user(&name));
        let body = json!({
            "block": self.block,
            "purge": !self.keep,
            "force_purge": self.force,
            "new_room_user_id": new_room_by,
            "room_name": self.new_room_name,
            "message": self.message,
        });
        let call = Call::delete("/_synapse/admin/v2/rooms/{}");
        Doing::Await(call.of(self.room_id).with(body), &DELETING)
    }
}

impl Purge {
    fn doing(self) -> Doing {
        let before_ts = self.before_ts.or_else(|| self.older_days.map(before));
        let mut body = json!({"delete_local_events": self.local_events});
        if let Some(event_id) = self.before_event {
            body["purge_up_to_event_id"] = json!(event_id);
        }
        if let Some(before_ts) = before_ts {
            body["purge_up_to_ts"] = json!(before_ts);
        }
        let call = Call::post("/_synapse/admin/v1/purge_history/{}");
        Doing::Await(call.of(self.room_id).with(body), &PURGING)
    }
}

//! `playhouse admin event`, `audit`, `join`, `parked` and what stands alone.

use serde_json::{Value, json};

use super::{
    Names, Page,
    call::{Call, Doing},
    table::{Form, Table},
};

/// Events, by their IDs.
#[derive(clap::Subcommand)]
pub(super) enum Event {
    /// Show an event, whoever may see it
    Show { event_id: String },
    /// Show the way of an event: when it came, what was said of it, and whom it has reached
    Journey {
        event_id: String,
        /// So many users and destinations at most
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
}

/// What administrators have changed.
#[derive(clap::Subcommand)]
pub(super) enum Audit {
    /// List changes, the newest first
    List {
        /// Made by whom: a user ID, or token: and an ID
        #[arg(long)]
        by: Option<String>,
        /// Method and path, as they are listed
        #[arg(long)]
        action: Option<String>,
        /// About what kind of thing: user, room, media …
        #[arg(long)]
        kind: Option<String>,
        /// About what
        #[arg(long)]
        target: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a change: what was asked for, how it was, how it is
    Show { id: u64 },
    /// Take a change back
    Undo { id: u64 },
}

/// Joins through other servers that are under way.
#[derive(clap::Subcommand)]
pub(super) enum Join {
    /// List them
    List,
    /// Cancel one: where the user may have been let in, the user leaves
    Cancel { room_id: String, user: String },
}

/// Records that readers of the log could not take in.
#[derive(clap::Subcommand)]
pub(super) enum Parked {
    /// List them
    List,
    /// Let one be tried again
    Retry(Place),
    /// Forget one: what should have come of it does not
    Discard(Place),
}

/// Where a record is parked, as the list shows it.
#[derive(clap::Args)]
pub(super) struct Place {
    /// A read model's table, or a follower
    reader: String,
    /// For example rooms/3
    shard: String,
    position: u64,
}

static CHANGES: Table = Table {
    rows: "/changes",
    next: Some("next"),
    total: "",
    columns: &[
        ("CHANGE", "/id", Form::Plain),
        ("WHEN", "/ts", Form::Time),
        ("BY", "/by", Form::Plain),
        ("ACTION", "/action", Form::Plain),
        ("TARGET", "/target", Form::Plain),
        ("STATUS", "/status", Form::Plain),
        ("UNDO", "/can_be_undone", Form::Plain),
    ],
};

static JOINS: Table = Table {
    rows: "/joins",
    next: None,
    total: "",
    columns: &[
        ("ROOM", "/room_id", Form::Plain),
        ("USER", "/user_id", Form::Plain),
        ("STAGE", "/stage", Form::Plain),
        ("SERVER", "/server", Form::Plain),
        ("SINCE", "/since_ts", Form::Time),
        ("EVENTS", "/events", Form::Plain),
        ("OF", "/events_total", Form::Plain),
    ],
};

static PARKED: Table = Table {
    rows: "/parked",
    next: None,
    total: "/total",
    columns: &[
        ("READER", "/reader", Form::Plain),
        ("FAMILY", "/family", Form::Plain),
        ("SHARD", "/shard", Form::Plain),
        ("POSITION", "/position", Form::Plain),
        ("OF", "/entity", Form::Plain),
        ("REASON", "/reason", Form::Plain),
    ],
};

static PUSHERS: Table = Table {
    rows: "/pushers",
    next: None,
    total: "",
    columns: &[
        ("USER", "/user_id", Form::Plain),
        ("APPLICATION", "/app_id", Form::Plain),
        ("KEY", "/pushkey", Form::Plain),
        ("DEVICE", "/device_id", Form::Plain),
    ],
};

static TASKS: Table = Table {
    rows: "/scheduled_tasks",
    next: None,
    total: "",
    columns: &[
        ("TASK", "/id", Form::Plain),
        ("DOES", "/action", Form::Plain),
        ("TO", "/resource_id", Form::Plain),
        ("STATUS", "/status", Form::Plain),
        ("SINCE", "/timestamp_ms", Form::Time),
        ("ERROR", "/error", Form::Plain),
    ],
};

static LARGEST: Table = Table {
    rows: "/rooms",
    next: None,
    total: "",
    columns: &[
        ("ROOM", "/room_id", Form::Plain),
        ("SIZE", "/estimated_size", Form::Bytes),
    ],
};

/// So many are asked for where a list has no pages here.
const MOST: u64 = 1_000;

impl Event {
    pub(super) fn doing(self) -> Doing {
        match self {
            Event::Show { event_id } => {
                Doing::Show(Call::get("/_synapse/admin/v1/fetch_event/{}").of(event_id))
            }
            Event::Journey { event_id, limit } => {
                let call = Call::get("/_playhouse/admin/v1/events/{}/journey");
                Doing::Show(call.of(event_id).ask("limit", limit))
            }
        }
    }
}

impl Audit {
    pub(super) fn doing(self) -> Doing {
        match self {
            Audit::List {
                by,
                action,
                kind,
                target,
                page,
            } => {
                let call = Call::get("/_playhouse/admin/v1/audit")
                    .ask_if("by", by)
                    .ask_if("action", action)
                    .ask_if("kind", kind)
                    .ask_if("target", target);
                Doing::List(call, &CHANGES, page.limit)
            }
            Audit::Show { id } => {
                Doing::Show(Call::get("/_playhouse/admin/v1/audit/{}").of(id.to_string()))
            }
            Audit::Undo { id } => {
                let call = Call::post("/_playhouse/admin/v1/audit/{}/undo").of(id.to_string());
                Doing::Do(call, format!("Taken back: {id}"))
            }
        }
    }
}

impl Join {
    pub(super) fn doing(self, names: &Names) -> Doing {
        match self {
            Join::List => Doing::List(Call::get("/_playhouse/admin/v1/joins"), &JOINS, 0),
            Join::Cancel { room_id, user } => {
                let user_id = names.user(&user);
                let said = format!("Cancelled: {user_id}, on the way into {room_id}");
                let call = Call::delete("/_playhouse/admin/v1/joins/{}/{}");
                Doing::Do(call.of(room_id).of(user_id), said)
            }
        }
    }
}

impl Parked {
    pub(super) fn doing(self) -> Doing {
        match self {
            Parked::List => {
                let call = Call::get("/_playhouse/admin/v1/parked");
                Doing::List(call.ask("limit", MOST), &PARKED, 0)
            }
            Parked::Retry(place) => {
                let call = Call::post("/_playhouse/admin/v1/parked/retry");
                Doing::Do(call.with(place.body()), "It is tried again.".to_owned())
            }
            Parked::Discard(place) => {
                let call = Call::post("/_playhouse/admin/v1/parked/discard");
                Doing::Do(call.with(place.body()), "It is forgotten.".to_owned())
            }
        }
    }
}

impl Place {
    /// A shard that makes no sense is the server's to refuse.
    fn body(self) -> Value {
        let (family, number) = self
            .shard
            .split_once('/')
            .unwrap_or((self.shard.as_str(), ""));
        json!({
            "reader": self.reader,
            "family": family,
            "shard": number.parse::<u16>().ok(),
            "position": self.position,
        })
    }
}

/// Who is notified where.
pub(super) fn pushers() -> Doing {
    let call = Call::get("/_playhouse/admin/v1/pushers");
    Doing::List(call.ask("limit", MOST), &PUSHERS, 0)
}

/// What goes on in the background.
pub(super) fn tasks(status: Option<String>) -> Doing {
    let call = Call::get("/_synapse/admin/v1/scheduled_tasks");
    Doing::List(call.ask_if("status", status), &TASKS, 0)
}

/// The rooms that take the most.
pub(super) fn largest_rooms() -> Doing {
    let call = Call::get("/_synapse/admin/v1/statistics/database/rooms");
    Doing::List(call, &LARGEST, 0)
}

/// What runs there.
pub(super) fn version() -> Doing {
    Doing::Show(Call::get("/_synapse/admin/v1/server_version"))
}

/// Tells a user something in the server's name.
pub(super) fn notice(names: &Names, user: &str, text: String) -> Doing {
    let user_id = names.user(user);
    let call = Call::post("/_synapse/admin/v1/send_server_notice");
    let said = format!("Told: {user_id}");
    let content = json!({"msgtype": "m.text", "body": text});
    Doing::Do(
        call.with(json!({"user_id": user_id, "content": content})),
        said,
    )
}

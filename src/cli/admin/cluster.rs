//! `playhouse admin cluster …`: what `playhouse cluster` does in the database, by a server that runs.

use serde_json::json;

use super::{
    call::{Call, Doing},
    table::{Form, Table},
};
use crate::cli::output::Problem;

/// Nodes and shards, through the API of any node: `playhouse cluster` does the same without one.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the nodes
    Nodes,
    /// List the shards, and which node holds each
    Shards,
    /// List how far behind each reader of the log is
    Readers,
    /// List the rooms that are written most
    HotRooms,
    /// Let a node give its shards away, and wait for that; it gets none until it joins again
    Drain { node: String },
    /// Let a node take shards again
    Join { node: String },
    /// Forget a node that has ended
    Forget {
        node: String,
        /// It is dead although its lease still runs
        #[arg(long)]
        dead: bool,
    },
    /// Move a shard to a node; it may move on as loads change
    Move {
        /// For example rooms/3
        shard: String,
        node: String,
    },
    /// Keep a shard, or the shard of a room, on a node, whatever the load
    Pin {
        /// For example rooms/3, or a room's ID
        what: String,
        node: String,
        /// The node gives away whatever is not pinned to it
        #[arg(long)]
        alone: bool,
    },
    /// Let a shard be anywhere again
    Unpin {
        /// For example rooms/3, or a room's ID
        what: String,
    },
}

static NODES: Table = Table {
    rows: "/nodes",
    next: None,
    total: "",
    columns: &[
        ("NODE", "/name", Form::Plain),
        ("STANDING", "/standing", Form::Plain),
        ("SHARDS", "/shards", Form::Plain),
        ("LOAD", "/load", Form::Plain),
        ("ADDRESS", "/address", Form::Plain),
        ("JOINED", "/joined_ts", Form::Time),
        ("ROLES", "/roles", Form::Plain),
    ],
};

static SHARDS: Table = Table {
    rows: "/shards",
    next: None,
    total: "",
    columns: &[
        ("FAMILY", "/family", Form::Plain),
        ("SHARD", "/number", Form::Plain),
        ("NODE", "/holder", Form::Plain),
        ("TERM", "/term", Form::Plain),
        ("LOAD", "/load", Form::Plain),
        ("GOES TO", "/wanted", Form::Plain),
        ("PINNED TO", "/pinned", Form::Plain),
    ],
};

static READERS: Table = Table {
    rows: "/readers",
    next: None,
    total: "",
    columns: &[
        ("READER", "/name", Form::Plain),
        ("NODE", "/node", Form::Plain),
        ("BEHIND", "/behind", Form::Plain),
    ],
};

static HOT_ROOMS: Table = Table {
    rows: "/hot_rooms",
    next: None,
    total: "",
    columns: &[
        ("ROOM", "/room_id", Form::Plain),
        ("SHARD", "/shard", Form::Plain),
        ("NODE", "/node", Form::Plain),
        ("RECORDS A SECOND", "/rate", Form::Plain),
    ],
};

impl Command {
    pub(super) fn doing(self) -> Result<Doing, Problem> {
        let list = |table| Doing::List(Call::get("/_playhouse/admin/v1/cluster"), table, 0);
        Ok(match self {
            Command::Nodes => list(&NODES),
            Command::Shards => list(&SHARDS),
            Command::Readers => list(&READERS),
            Command::HotRooms => list(&HOT_ROOMS),
            Command::Drain { node } => Doing::Drain(node),
            Command::Join { node } => {
                let call = Call::post("/_playhouse/admin/v1/cluster/nodes/{}/join");
                let said = format!("{node} takes shards.");
                Doing::Do(call.of(node), said)
            }
            Command::Forget { node, dead } => {
                let call = Call::post("/_playhouse/admin/v1/cluster/nodes/{}/leave");
                let said = format!("{node} is forgotten.");
                Doing::Do(call.of(node).with(json!({"dead": dead})), said)
            }
            Command::Move { shard, node } => {
                let (family, number) = parted(&shard)?;
                let call = Call::post("/_playhouse/admin/v1/cluster/shards/{}/{}/move");
                let said = format!("{shard} goes to {node}.");
                let call = call.of(family).of(number);
                Doing::Do(call.with(json!({"node": node})), said)
            }
            Command::Pin { what, node, alone } => {
                let call = pin(&what, Call::put)?;
                let said = format!("{what} is pinned to {node}.");
                Doing::Do(call.with(json!({"node": node, "alone": alone})), said)
            }
            Command::Unpin { what } => {
                let call = pin(&what, Call::delete)?;
                Doing::Do(call, format!("{what} may be anywhere."))
            }
        })
    }
}

/// The pin of a shard, or of the shard of a room.
fn pin(what: &str, call: fn(&'static str) -> Call) -> Result<Call, Problem> {
    if what.starts_with('!') {
        return Ok(call("/_playhouse/admin/v1/cluster/rooms/{}/pin").of(what));
    }
    let (family, number) = parted(what)?;
    let call = call("/_playhouse/admin/v1/cluster/shards/{}/{}/pin");
    Ok(call.of(family).of(number))
}

fn parted(shard: &str) -> Result<(&str, &str), Problem> {
    let parts = shard.split_once('/');
    parts.ok_or_else(|| Problem::new(format!("`{shard}` is no shard: one is rooms/3")))
}

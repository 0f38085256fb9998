//! What the endpoints of this server's own admin API take and answer. A test of the edge holds this list against what is mounted, and the roles against what is
//! looked at.

use playhouse_actors::admins::AdminRole::{Moderate, Operate};

use super::describing::{
    Described, Field,
    Holds::{Number, Object, Objects, Text, Texts, Truth},
    change, for_operators, look,
};

/// Where all of them are.
pub(crate) const BASE: &str = "/_playhouse/admin/v1";

const LIMIT: Field = ("limit", Number, "so many at most");

const ALONE: &[Field] = &[(
    "alone",
    Truth,
    "the node gives away whatever is not pinned to it",
)];

const PLACE: &[Field] = &[
    ("reader", Text, "a read model's table, or a follower"),
    ("family", Text, "rooms, users or servers"),
    ("shard", Number, "the shard of the record"),
    ("position", Number, "the position of the record there"),
];

const PARKED: &[Field] = &[
    ("reader", Text, "a read model's table, or a follower"),
    ("family", Text, "rooms, users or servers"),
    ("shard", Number, "the shard of the record"),
    ("position", Number, "the position of the record there"),
    ("entity", Text, "whose record"),
    ("reason", Text, "why it could not be taken in"),
    (
        "program",
        Text,
        "the version that tried; empty when it is to be tried again",
    ),
];

/// All of them.
pub(crate) const ALL: &[Described] = &[
    look(
        "/audit",
        "List what administrators have changed, the newest first",
        (
            &[
                ("by", Text, "made by whom: a user ID, or token: and an ID"),
                ("action", Text, "method and path, as they are listed"),
                ("kind", Text, "about what kind of thing"),
                ("target", Text, "about what"),
                (
                    "since",
                    Number,
                    "not before, milliseconds since the Unix epoch",
                ),
                ("until", Number, "before, milliseconds since the Unix epoch"),
                ("from", Number, "next of the page before"),
                LIMIT,
            ],
            &[
                (
                    "changes",
                    Objects,
                    "who, when, what, before, after, and whether it can be undone",
                ),
                ("next", Number, "from of the next page; absent on the last"),
            ],
        ),
    ),
    look(
        "/audit/{id}",
        "Show one change",
        (
            &[],
            &[
                ("id", Number, "its number"),
                ("ts", Number, "when, milliseconds since the Unix epoch"),
                ("by", Text, "who made it"),
                ("action", Text, "method and path"),
                ("kind", Text, "about what kind of thing"),
                ("target", Text, "about what"),
                ("request", Object, "what was asked for, without secrets"),
                ("before", Object, "how it was"),
                ("after", Object, "how it was then"),
                (
                    "status",
                    Number,
                    "the HTTP status that was answered; null when it is not known",
                ),
                ("undoes", Number, "the change that it took back"),
                ("undone_by", Number, "the change that took it back"),
                ("can_be_undone", Truth, "whether it can be undone"),
                ("why_not", Text, "why it cannot"),
            ],
        ),
    ),
    change(
        ("POST", "/audit/{id}/undo"),
        Moderate,
        "Take a change back; of registration tokens and the admin flag this takes the role operate instead",
        (None, &[]),
    ),
    for_operators(look(
        "/backups",
        "List the backups in the folder for them",
        (
            &[],
            &[(
                "backups",
                Objects,
                "the one that is being made, then those that are whole, the newest first",
            )],
        ),
    )),
    change(
        ("POST", "/backups"),
        Operate,
        "Have a backup made",
        (
            Some((
                &[],
                &[("media", Truth, "with media; true when nothing is said")],
            )),
            &[("name", Text, "the name of its folder")],
        ),
    ),
    look(
        "/cluster",
        "Show the nodes, which of them holds which shard, and how busy they are",
        (
            &[],
            &[
                ("node", Text, "the node that answers"),
                ("nodes", Objects, "all nodes"),
                ("shards", Objects, "all shards"),
                ("moves", Objects, "shards that are on their way"),
                (
                    "readers",
                    Objects,
                    "how far behind each reader of the log is",
                ),
                ("hot_rooms", Objects, "rooms that are written much"),
                ("missing_roles", Texts, "roles that no living node has"),
            ],
        ),
    ),
    change(
        ("POST", "/cluster/nodes/{node}/drain"),
        Operate,
        "Let a node give its shards away",
        (None, &[]),
    ),
    change(
        ("POST", "/cluster/nodes/{node}/join"),
        Operate,
        "Let a node take shards again",
        (None, &[]),
    ),
    change(
        ("POST", "/cluster/nodes/{node}/leave"),
        Operate,
        "Forget a node that has ended",
        (
            Some((&[], &[("dead", Truth, "also while its lease still runs")])),
            &[],
        ),
    ),
    change(
        ("PUT", "/cluster/rooms/{room_id}/pin"),
        Operate,
        "Keep a room, with the shard in which it lies, on a node, whatever the load",
        (
            Some((&[("node", Text, "its name")], ALONE)),
            &[("shard", Text, "the shard in which the room lies")],
        ),
    ),
    change(
        ("DELETE", "/cluster/rooms/{room_id}/pin"),
        Operate,
        "Let a room be anywhere again, and all of its shard",
        (None, &[]),
    ),
    change(
        ("POST", "/cluster/shards/{family}/{number}/move"),
        Operate,
        "Move a shard to a node",
        (Some((&[("node", Text, "its name")], &[])), &[]),
    ),
    change(
        ("PUT", "/cluster/shards/{family}/{number}/pin"),
        Operate,
        "Keep a shard on a node, whatever the load",
        (Some((&[("node", Text, "its name")], ALONE)), &[]),
    ),
    change(
        ("DELETE", "/cluster/shards/{family}/{number}/pin"),
        Operate,
        "Let a shard be anywhere again",
        (None, &[]),
    ),
    look(
        "/destinations",
        "List other servers, and what they lack",
        (
            &[
                ("from", Text, "next of the page before"),
                ("unfinished", Truth, "only those that lack something"),
                LIMIT,
            ],
            &[
                (
                    "destinations",
                    Objects,
                    "by name: state, failures, times, the oldest event that is lacking",
                ),
                ("next", Text, "from of the next page; absent on the last"),
            ],
        ),
    ),
    look(
        "/events/{event_id}/journey",
        "Show the way of an event: when it came, what was said of it, and whom it has reached",
        (
            &[
                ("users_from", Text, "users_next of the page before"),
                (
                    "destinations_from",
                    Text,
                    "destinations_next of the page before",
                ),
                LIMIT,
            ],
            &[
                ("event_id", Text, "the event"),
                ("room_id", Text, "the room"),
                ("type", Text, "event type"),
                ("state_key", Text, "state key of a state event"),
                ("sender", Text, "who sent it"),
                ("origin", Text, "the server whose event it is"),
                ("made_here", Truth, "it did not come from elsewhere"),
                ("received_from", Text, "the server that brought it"),
                (
                    "origin_server_ts",
                    Number,
                    "when it was made, as its server says",
                ),
                ("received_ts", Number, "when it was recorded"),
                ("stored", Object, "shard, position and sequence"),
                (
                    "verdict",
                    Text,
                    "accepted, soft_failed, rejected, held or powerless",
                ),
                ("reason", Text, "why it was not accepted"),
                ("placement", Text, "live, backfilled or outlier"),
                ("redacted_by", Text, "the event that redacted it"),
                (
                    "state",
                    Object,
                    "whether the state was resolved for it, and whether it is in force",
                ),
                (
                    "forward_extremity",
                    Truth,
                    "it is an end of the event graph",
                ),
                (
                    "users",
                    Objects,
                    "how far the feed of each user of this server has come, and what pushers have told",
                ),
                ("users_next", Text, "users_from of the next page"),
                (
                    "destinations",
                    Objects,
                    "whether each has it, or why not yet",
                ),
                (
                    "destinations_next",
                    Text,
                    "destinations_from of the next page",
                ),
            ],
        ),
    ),
    look(
        "/figures",
        "Show the figures of the node that answers, as Prometheus reads them, summed over endpoints",
        (
            &[],
            &[
                ("node", Text, "the node; null where there is only one"),
                ("ts", Number, "when, milliseconds since the Unix epoch"),
                ("figures", Objects, "each with name, labels and value"),
            ],
        ),
    ),
    look("/openapi.json", "This description", (&[], &[])),
    look(
        "/parked",
        "List records that readers of the log could not take in",
        (
            &[
                (
                    "reader",
                    Text,
                    "with the three that follow: after this record",
                ),
                ("family", Text, "rooms, users or servers"),
                ("shard", Number, "its shard"),
                ("position", Number, "its position there"),
                LIMIT,
            ],
            &[
                ("parked", Objects, "by reader and place"),
                ("limited", Truth, "there are more"),
                ("total", Number, "so many on all pages"),
            ],
        ),
    ),
    change(
        ("POST", "/parked/discard"),
        Operate,
        "Forget a parked record",
        (Some((PLACE, &[])), PARKED),
    ),
    change(
        ("POST", "/parked/retry"),
        Operate,
        "Let a parked record be tried again",
        (Some((PLACE, &[])), PARKED),
    ),
    for_operators(look(
        "/pushers",
        "List who is notified where",
        (
            &[
                (
                    "from_user",
                    Text,
                    "with the two that follow: after this pusher",
                ),
                ("from_app", Text, "its application"),
                ("from_key", Text, "its key"),
                LIMIT,
            ],
            &[
                ("pushers", Objects, "by user, application and key"),
                ("limited", Truth, "there are more"),
            ],
        ),
    )),
    for_operators(look(
        "/rooms/{room_id}/compare",
        "Ask other servers for a room's state, and show how it differs",
        (
            &[(
                "server_name",
                Texts,
                "whom to ask: from 1 to 10, each a parameter of its own",
            )],
            &[
                ("event_id", Text, "the state before it was compared"),
                (
                    "rough",
                    Truth,
                    "the graph has several ends: what differs need not be wrong",
                ),
                (
                    "servers",
                    Objects,
                    "what is in force only here, and only there",
                ),
            ],
        ),
    )),
    look(
        "/rooms/{room_id}/graph",
        "Show where a room's event graph ends, and which keys of its state were reset",
        (
            &[],
            &[
                ("graph", Object, "forward extremities, and some figures"),
                ("alarms", Objects, "keys that state resolution has reset"),
                (
                    "parked",
                    Objects,
                    "events of other servers that wait for others",
                ),
            ],
        ),
    ),
    change(
        ("POST", "/rooms/{room_id}/refold"),
        Operate,
        "Let a room read its whole log again, whatever its snapshot says",
        (
            None,
            &[
                ("changed", Truth, "something is other than it was"),
                ("before", Object, "how the room stood"),
                ("after", Object, "how it stands"),
            ],
        ),
    ),
    look(
        "/rooms/{room_id}/state/why",
        "Show which event is in force under a key, which events allow it, and what it replaced",
        (
            &[
                ("type", Text, "event type"),
                ("state_key", Text, "state key; empty when absent"),
            ],
            &[
                ("in_force", Object, "the event in force"),
                ("auth_events", Objects, "the events that allow it"),
                (
                    "unknown_auth_events",
                    Texts,
                    "those of them that are not recorded",
                ),
                (
                    "replaced",
                    Objects,
                    "what was in force before, the newest first",
                ),
            ],
        ),
    ),
    look(
        "/rooms/{room_id}/storage",
        "Show what a room takes in the log",
        (
            &[],
            &[
                ("records", Number, "in all"),
                ("bytes", Number, "of all"),
                ("snapshot_bytes", Number, "of the snapshot"),
                ("partial", Truth, "the oldest were not measured"),
                ("kinds", Objects, "records and bytes by kind"),
            ],
        ),
    ),
    for_operators(look(
        "/tokens",
        "List the tokens by which tools use this API",
        (&[], &[("tokens", Objects, "without the tokens themselves")]),
    )),
    change(
        ("POST", "/tokens"),
        Operate,
        "Make a token for a tool",
        (
            Some((
                &[
                    ("name", Text, "what it is for"),
                    (
                        "roles",
                        Texts,
                        "read, moderate, operate; none that the caller lacks",
                    ),
                ],
                &[(
                    "lifetime_ms",
                    Number,
                    "for how long; 30 days when absent, at most 366",
                )],
            )),
            &[
                ("id", Text, "by which it is revoked"),
                ("token", Text, "the token, told this once"),
            ],
        ),
    ),
    change(
        ("DELETE", "/tokens/{id}"),
        Operate,
        "End a token at once",
        (None, &[]),
    ),
    look(
        "/whoami",
        "Show who asks, and what is open to the caller",
        (
            &[],
            &[
                ("name", Text, "a user ID, or token: and an ID"),
                ("roles", Texts, "whose endpoints are open"),
                ("server_name", Text, "the name of the server"),
                ("version", Text, "the version of the program"),
                ("node", Text, "the node; null where there is only one"),
            ],
        ),
    ),
];

//! What the endpoints of joins that are under way take and answer: a part of the list in [`super::described`].

use playhouse_actors::admins::AdminRole::Operate;

use super::describing::{Described, Holds::Objects, change, look};

/// All of them.
pub(super) const JOINS: &[Described] = &[
    look(
        "/joins",
        "List users of this server who are on the way into rooms through other servers",
        (
            &[],
            &[(
                "joins",
                Objects,
                "room, user, stage, server, since when, and how many events are taken in",
            )],
        ),
    ),
    change(
        ("DELETE", "/joins/{room_id}/{user_id}"),
        Operate,
        "Cancel a join: where the user may have been let in, the user leaves",
        (None, &[]),
    ),
];

//! What the endpoints of events that wait in a room take and answer: a part of the list in [`super::described`].

use playhouse_actors::admins::AdminRole::Operate;

use super::describing::{
    Described,
    Holds::{Object, Objects},
    change,
};

/// All of them.
pub(super) const WAITING: &[Described] = &[
    change(
        ("POST", "/rooms/{room_id}/parked/retry"),
        Operate,
        "Try again to take in the events of other servers that wait in a room",
        (
            None,
            &[(
                "parked",
                Objects,
                "the events that are tried, and what they lack",
            )],
        ),
    ),
    change(
        ("DELETE", "/rooms/{room_id}/parked/{event_id}"),
        Operate,
        "Give up an event that waits in a room",
        (None, &[("parked", Object, "the event, and what it lacked")]),
    ),
];

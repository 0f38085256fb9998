//! What the endpoints of moderation policies take and answer: a part of the list in [`super::described`].

use playhouse_actors::admins::AdminRole::Moderate;

use super::describing::{
    Described, Field,
    Holds::{Number, Object, Objects, Text, Truth},
    change, look,
};

const RULE: &[Field] = &[
    ("action", Text, "what is done: reject_invites"),
    ("inviter", Text, "the user ID of who invites, a pattern"),
    (
        "inviter_server",
        Text,
        "the server of who invites without its port, a pattern",
    ),
    ("room_id", Text, "the room, a pattern"),
    (
        "room_name",
        Text,
        "the room's name as the invite tells it, a pattern",
    ),
    ("user_id", Text, "the invited user, a pattern"),
    (
        "age_min_ms",
        Number,
        "the invite came at least so long ago, milliseconds",
    ),
    (
        "age_max_ms",
        Number,
        "the invite came at most so long ago, milliseconds",
    ),
];

const RUNS: Field = (
    "runs",
    Objects,
    "when it was applied by whom, to how much, and who took it back; the newest first",
);

/// All of them.
pub(super) const POLICIES: &[Described] = &[
    look(
        "/policies",
        "List moderation policies and their runs",
        (&[], &[("policies", Objects, "by name"), RUNS]),
    ),
    look(
        "/policies/{policy}",
        "Show a moderation policy and its runs",
        (
            &[],
            &[
                (
                    "policy",
                    Object,
                    "what it matches; null when it was deleted",
                ),
                RUNS,
            ],
        ),
    ),
    look(
        "/policies/{policy}/dry_run",
        "Tell what a moderation policy would do now, and change nothing",
        (
            &[],
            &[
                ("invites", Number, "so many invites it would take away"),
                ("users", Number, "from so many users"),
                ("by_server", Objects, "by the server of who invites"),
                ("by_user", Objects, "by the invited user"),
                ("sample", Objects, "some of the invites"),
                ("token", Text, "to be brought back when it is applied"),
                (
                    "state_hash",
                    Text,
                    "a digest of what these users are in which rooms, as it is told to them",
                ),
            ],
        ),
    ),
    change(
        ("PUT", "/policies/{policy}"),
        Moderate,
        "Write a moderation policy down; it does nothing until it is applied",
        (Some((&[], RULE)), &[]),
    ),
    change(
        ("DELETE", "/policies/{policy}"),
        Moderate,
        "Delete a moderation policy; what it did stays",
        (None, &[]),
    ),
    change(
        ("POST", "/policies/{policy}/apply"),
        Moderate,
        "Do what a dry run of a moderation policy has shown; taken back like any other change",
        (
            Some((
                &[("token", Text, "what the dry run said")],
                &[(
                    "tell_servers",
                    Truth,
                    "reject the invites for good and tell the servers of the rooms; cannot be taken back",
                )],
            )),
            &[
                ("run", Number, "the number of the run"),
                ("invites", Number, "so many invites were taken away"),
                ("users", Number, "from so many users"),
                ("failed", Number, "so many could not be rejected for good"),
                (
                    "later",
                    Number,
                    "so many fit as well, but came after the dry run: they stay",
                ),
            ],
        ),
    ),
];

//! What the endpoints of accounts take and answer: a part of the list in [`super::described`].

use playhouse_actors::admins::AdminRole::Operate;

use super::describing::{
    Described,
    Holds::{Text, Truth},
    change,
};

/// All of them.
pub(super) const ACCOUNTS: &[Described] = &[change(
    ("POST", "/users/{user_id}/reopen"),
    Operate,
    "Open a closed account again; nothing comes back of what it held",
    (
        Some((
            &[],
            &[(
                "password",
                Text,
                "its password; without one nobody logs in by password",
            )],
        )),
        &[(
            "reopened",
            Truth,
            "it was closed; otherwise nothing has changed, not even the password",
        )],
    ),
)];

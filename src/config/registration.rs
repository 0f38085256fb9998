//! `[registration]`: who may make an account, and how sessions live.

use super::section::section;

section! {
    /// Who may make an account, and how long sessions last.
    "registration" Registration {
        /// Anybody may register. Without it: registration tokens, the shared secret and `playhouse user add`.
        enabled: bool = false, variable "PLAYHOUSE_ENABLE_REGISTRATION";
        /// Registration asks for a registration token even when it is open.
        token_required: bool = false;
        /// A secret for scripts that register users at `/_synapse/admin/v1/register`.
        shared_secret: Option<String> = None, sample "a long random text", variable "PLAYHOUSE_REGISTRATION_SHARED_SECRET";
        /// Guests may come.
        guests: bool = false;
        /// Passwords have at least so many characters.
        password_length_min: u64 = 8;
        /// Access tokens of clients that can refresh them live so long, milliseconds.
        access_token_lifetime_ms: u64 = 3_600_000;
    }
}

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
        /// Passwords have a digit.
        password_digit: bool = false;
        /// Passwords have a character that is neither letter nor digit.
        password_symbol: bool = false;
        /// Passwords have a small letter.
        password_lowercase: bool = false;
        /// Passwords have a capital letter.
        password_uppercase: bool = false;
        /// Aliases of rooms into which new accounts come; guests do not.
        auto_join_rooms: Vec<String> = Vec::new();
        /// Those of this server that are missing are made, by whoever registers first.
        auto_join_create: bool = true;
        /// Access tokens of clients that can refresh them live so long, milliseconds.
        access_token_lifetime_ms: u64 = 3_600_000;
    }
}

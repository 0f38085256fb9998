//! `[voip]`: relays for calls.

use super::section::section;

section! {
    /// TURN servers, through which calls go when the callers cannot reach each other.
    "voip" Voip {
        /// Their URIs. Without any, clients are told of none.
        turn_uris: Vec<String> = Vec::new(), sample "[\"turn:turn.example.org?transport=udp\"]";
        /// The secret that the TURN servers share with this one (`static-auth-secret` of coturn): every user gets credentials that end.
        turn_shared_secret: Option<String> = None, sample "a long random text";
        /// Credentials made with the shared secret, or clients' trust in the fixed ones, last so long, milliseconds.
        turn_lifetime_ms: u64 = 86_400_000;
        /// Without a shared secret: the name that all users share.
        turn_username: Option<String> = None, sample "name";
        /// Without a shared secret: the password that all users share.
        turn_password: Option<String> = None, sample "password";
        /// Guests may use the TURN servers.
        turn_guests: bool = false;
    }
}

//! `[spam_check]`: an endpoint of the operator's that says what is spam.

use super::section::section;

section! {
    /// An HTTP endpoint is asked before something is done for a user or another server. Administrators' own requests are not asked about.
    "spam_check" SpamCheck {
        /// The endpoint: it gets `{"check": "invite", "user_id": "@anna:example.org", "room_id": "!…", "invited": "@ben:example.com"}` by `POST` and answers `{"allow": true}`, or `{"allow": false, "errcode": "M_FORBIDDEN", "error": "…"}`, the last two of which the client is told. It must be `https`, or on this machine.
        url: Option<String> = None, sample "https://spam.example.org/check";
        /// What is asked about: `invite`, `receive_invite` (from another server), `join` (and knocks), `create_room`, `publish` (in the public list), `register`, and `send` (every event: each waits for the answer).
        checks: Vec<String> = ["invite", "receive_invite", "join", "create_room", "publish", "register"].map(str::to_owned).to_vec();
        /// It must answer within so many milliseconds.
        timeout_ms: u64 = 5_000;
        /// What happens when it does not answer: `allow` or `refuse`.
        when_silent: String = "allow".to_owned();
    }
}

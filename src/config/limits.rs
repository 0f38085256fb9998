//! `[limits]`: sizes, times and rates.

use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

section! {
    /// Sizes, times and rates. A rate is `{ per_second, burst }`.
    "limits" Limits {
        /// Rate limits are applied.
        rate_limits: bool = true, variable "PLAYHOUSE_RATE_LIMITS";
        /// Requests of all kinds, for each address without a session.
        rate_address: Rate = Rate::new(50.0, 200);
        /// Requests of all kinds, for each user.
        rate_user: Rate = Rate::new(100.0, 500);
        /// Logins, for each address; and wrong passwords, for each user.
        rate_login: Rate = Rate::new(0.2, 10);
        /// Registrations, for each address.
        rate_registration: Rate = Rate::new(0.2, 5);
        /// Mails and text messages sent to prove an address: for each address of a client, and for each recipient.
        rate_third_party: Rate = Rate::new(0.01, 5);
        /// Messages and other events, for each user.
        rate_message: Rate = Rate::new(10.0, 50);
        /// Joins and knocks, for each user.
        rate_join: Rate = Rate::new(1.0, 20);
        /// Invitations, for each user.
        rate_invite: Rate = Rate::new(1.0, 30);
        /// Rooms made, for each user.
        rate_create_room: Rate = Rate::new(0.2, 10);
        /// Delayed events restarted, cancelled or sent at once, for each address.
        rate_delayed_event: Rate = Rate::new(10.0, 50);
        /// Requests of another server, for each server and for each address.
        rate_server: Rate = Rate::new(100.0, 1_000);
        /// From so many requests of a server within `server_window_ms` on, each further one waits for `server_slow_ms`; 0 never.
        server_slow_after: u64 = 200;
        /// The time for which requests of a server are counted, milliseconds.
        server_window_ms: u64 = 1_000;
        /// So long such requests wait, milliseconds.
        server_slow_ms: u64 = 500;
        /// So many requests of a server may wait so; further ones are refused.
        server_slowed_max: u64 = 50;
        /// Transactions of a server that are taken in at once. Servers that keep to the specification send one at a time.
        server_transactions_max: u64 = 1;
        /// So many further ones may wait.
        server_transactions_waiting_max: u64 = 4;
        /// Uploads of media, for each user.
        rate_upload: Rate = Rate::new(2.0, 30);
        /// Body of a request, unless the endpoint has a limit of its own.
        body_bytes_max: u64 = 1_048_576;
        /// A request's head must have arrived after so many milliseconds.
        head_timeout_ms: u64 = 10_000;
        /// A request's body must have arrived after so many milliseconds.
        body_timeout_ms: u64 = 30_000;
        /// Profiles are told only to users with a session who share a room with their owner.
        profiles_of_shared_rooms_only: bool = false;
        /// Keys are told only to users who share a room with their owner (MSC4263).
        keys_of_shared_rooms_only: bool = false;
        /// How deep JSON of clients may be nested. Other servers wrap what their clients say: theirs may be nested eight levels deeper, up to 127.
        json_depth_max: u64 = 100;
        /// A long poll waits so long at most, milliseconds.
        sync_timeout_max_ms: u64 = 120_000;
        /// Syncs from the beginning, which cost much, at once: further ones wait in order, one of each user, so that they take nothing from syncs that go on.
        initial_syncs_max: u64 = 16;
        /// They wait so long at most, milliseconds, before they are refused with the time after which to try again.
        initial_sync_wait_ms: u64 = 30_000;
        /// Memory for awake rooms and users.
        actor_bytes_max: u64 = 536_870_912;
        /// Rooms and users, each, that stay awake at most.
        actors_max: u64 = 20_000;
    }
}

/// What clients of other servers say comes in so many wrappings at most, and a few to spare: a transaction has three, a request to be signed one more.
const PEER_WRAPPINGS: u64 = 8;

/// Parsers read no deeper nesting.
const DEPTH_CEILING: u64 = 127;

impl Limits {
    /// How deep JSON of other servers may be nested: a message that a client of ours may send must be fit for a server that has the same limit.
    pub(crate) fn peer_json_depth_max(&self) -> u64 {
        (self.json_depth_max + PEER_WRAPPINGS).min(DEPTH_CEILING)
    }

    /// All rates with their keys.
    pub(crate) fn rates(&self) -> [(&'static str, Rate); 12] {
        [
            ("rate_address", self.rate_address),
            ("rate_user", self.rate_user),
            ("rate_login", self.rate_login),
            ("rate_registration", self.rate_registration),
            ("rate_third_party", self.rate_third_party),
            ("rate_message", self.rate_message),
            ("rate_join", self.rate_join),
            ("rate_invite", self.rate_invite),
            ("rate_create_room", self.rate_create_room),
            ("rate_delayed_event", self.rate_delayed_event),
            ("rate_server", self.rate_server),
            ("rate_upload", self.rate_upload),
        ]
    }
}

/// How often something may be done: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// So often in the long run.
    pub per_second: f64,
    /// So often at once after a pause.
    pub burst: u32,
}

impl Rate {
    /// A rate.
    pub const fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

impl Setting for Rate {
    const FORM: Form = Form::Tables;
}

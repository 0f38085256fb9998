//! `[push]`: what users are notified of goes to their devices and mailboxes.

use super::section::section;

section! {
    /// Push notifications: to the push gateways that clients name, and by mail to those who want that. How it works and what can be watched stands in `ops/docs/pushers.md`.
    "push" Push {
        /// Notifications are pushed. When this is switched on again, what happened meanwhile is left alone.
        enabled: bool = true;
        /// Push gateways are told what messages say, unless a client wants to be told the events' IDs only. What is encrypted stays so.
        include_content: bool = true;
        /// The number that devices show is that of rooms with something unread, not that of messages.
        group_unread_count_by_room: bool = true;
        /// Pushes wait for a random time of up to so many milliseconds: nobody who watches the network can tell who answers whom.
        jitter_ms: u64 = 0;
        /// A gateway that did not take a push is asked again after so many milliseconds, and then after twice as many each time …
        retry_wait_ms: u64 = 1_000;
        /// … up to so many.
        retry_wait_max_ms: u64 = 3_600_000;
        /// What could not be pushed in so many milliseconds is given up.
        give_up_ms: u64 = 86_400_000;
        /// A gateway must answer within so many milliseconds.
        answer_timeout_ms: u64 = 10_000;
        /// So many requests may be on their way at once to gateways that took the last one.
        requests_max: u64 = 64;
        /// A user may have so many pushers.
        pushers_max: u64 = 100;
        /// Networks in which gateways are asked although they are private or special. Further ones that are not asked, and the ports that are: `[outbound]`.
        allow_networks: Vec<String> = Vec::new();
        /// Gateways may do without TLS (`http://`). For tests, and for gateways on this machine.
        plain_gateways: bool = false;
        /// Mails tell those who want it what they have not seen. `[email]` says how mails are sent.
        mails: bool = true;
        /// In whose name mails are written, when the client has not said.
        app_name: String = "Matrix".to_owned();
        /// Where mails lead to: a web client, whose rooms are at `/#/room/…`. Without it links lead to matrix.to.
        client_base_url: Option<String> = None, sample "https://app.example.org";
        /// An event is mailed when it was not seen for so many milliseconds.
        mail_delay_ms: u64 = 600_000;
        /// The next mail about the same room comes no sooner than so many milliseconds later; the wait grows a hundredfold and more with each mail …
        mail_throttle_ms: u64 = 600_000;
        /// … up to so many, …
        mail_throttle_max_ms: u64 = 86_400_000;
        /// … and begins anew when the room was quiet for so many.
        mail_throttle_reset_ms: u64 = 43_200_000;
    }
}

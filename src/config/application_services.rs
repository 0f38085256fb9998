//! `[application_services]`: bridges and bots.

use super::section::section;

section! {
    /// Bridges and bots that act for users of their own.
    "application_services" ApplicationServices {
        /// Their registration files (YAML, as the application service API describes them); relative paths start in the data folder. They are read when the server starts. Each holds `id`, `url`, `as_token`, `hs_token`, `sender_localpart`, `namespaces` and, if it likes, `rate_limited` and `protocols`.
        registrations: Vec<String> = Vec::new();
    }
}

//! `[federation]`: other servers.

use super::section::section;

section! {
    /// Other servers.
    "federation" Federation {
        /// Talk to other servers.
        enabled: bool = true;
        /// A PEM file with certificate authorities that are trusted beside the usual ones.
        extra_ca: Option<String> = None, sample "/etc/playhouse/ca.pem", variable "PLAYHOUSE_EXTRA_CA";
    }
}

//! `[admin]`: where `playhouse admin` finds a server that runs.

use super::section::section;

section! {
    /// Where `playhouse admin` finds a server that runs, and by what it may do something there. The server itself needs none of it.
    "admin" Admin {
        /// The URL under which the server answers; the address of the client listener when absent.
        url: Option<String> = None, sample "https://matrix.example.org";
        /// A file with the access token of an administrator, as `playhouse admin login` writes it.
        token_file: Option<String> = None, sample "/root/.playhouse-token";
        /// The access token itself. A file can be kept from others more easily.
        token: Option<String> = None, sample "the access token";
    }
}

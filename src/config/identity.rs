//! `[identity]`: identity servers.

use super::section::section;

section! {
    /// Identity servers, which tell whose an address is. Clients name them.
    "identity" Identity {
        /// Only these are asked, as `host` or `host:port`. Empty: all that are public.
        servers: Vec<String> = Vec::new();
        /// Networks that are asked though they are not public.
        allow_networks: Vec<String> = Vec::new();
        /// Servers that are spoken to without TLS, for tests.
        plain_http_servers: Vec<String> = Vec::new();
        /// The URL of the identity server that sends text messages, to prove phone numbers. Without it phone numbers cannot be proven.
        msisdn_delegate: Option<String> = None, sample "https://sydent.example.org";
    }
}

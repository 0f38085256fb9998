//! `[outbound]`: requests to places that strangers name.

use super::section::section;

section! {
    /// Requests to places that strangers name, pages to preview for example. Private and special addresses are never asked, however they are spelled.
    "outbound" Outbound {
        /// Networks that are asked although they are private or special.
        allow_networks: Vec<String> = Vec::new();
        /// Further networks that are not asked, such as public addresses of your own machines.
        deny_networks: Vec<String> = Vec::new();
        /// Ports and ranges of ports that are asked.
        ports: Vec<String> = ["80", "443", "1024-65535"].map(str::to_owned).to_vec();
    }
}

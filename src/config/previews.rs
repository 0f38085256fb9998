//! `[previews]`: what a link leads to, for clients.

use super::section::section;

section! {
    /// Previews of links. They make this server ask for whatever its users write: see `[outbound]`.
    "previews" Previews {
        /// Previews are made.
        enabled: bool = false;
        /// Links that are not previewed: `scheme://host/path`, scheme and path may be missing, `*` stands for anything.
        deny_urls: Vec<String> = Vec::new();
        /// The languages in which pages are asked for, as an `Accept-Language` header.
        accept_language: String = "en".to_owned();
        /// A page with more bytes is not previewed.
        page_bytes_max: u64 = 5_242_880;
        /// A picture with more bytes is left out.
        picture_bytes_max: u64 = 10_485_760;
        /// A preview is made in so many milliseconds, redirects and picture included, or not at all.
        timeout_ms: u64 = 15_000;
        /// So many previews are made at once.
        concurrent_max: u64 = 8;
        /// So many previews are made at once for each user.
        concurrent_per_user_max: u64 = 3;
        /// A preview is given out again for so many milliseconds.
        cache_ms: u64 = 3_600_000;
        /// So many previews are remembered.
        cache_entries_max: u64 = 1_000;
        /// Pictures of previews are removed after so many days.
        picture_days: u64 = 7;
    }
}

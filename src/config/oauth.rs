//! `[oauth]`: logging in through the browser.

use super::section::section;

section! {
    /// The OAuth 2.0 API: clients send their users to pages of this server, on which they log in, register and manage their account.
    "oauth" Oauth {
        /// It is offered. It needs [server] client_url, unless clients reach this server on their own machine.
        enabled: bool = true;
        /// A browser that logged in stays so for so long, milliseconds.
        browser_lifetime_ms: u64 = 3_600_000;
    }
}

//! `[email]`: mail from this server, and addresses of accounts.

use super::section::section;

section! {
    /// Mail from this server, and the addresses that people prove to have. Without a host no mail is sent.
    "email" Email {
        /// The mail server that takes our mail.
        host: Option<String> = None, sample "mail.example.org";
        /// Its port: usually 587, 465 with `tls = "tls"`.
        port: u64 = 587;
        /// `starttls` (required), `tls` (from the first byte), or `none` for a relay on this machine.
        tls: String = "starttls".to_owned();
        /// The name to log in with.
        user: Option<String> = None, sample "playhouse";
        /// The password to it.
        password: Option<String> = None, sample "a long random text";
        /// The sender. Without it: no-reply at the server name.
        from: Option<String> = None, sample "Playhouse <no-reply@example.org>";
        /// A mail must be taken within so many milliseconds.
        timeout_ms: u64 = 15_000;
        /// Links in mails are good for so many milliseconds.
        link_lifetime_ms: u64 = 3_600_000;
        /// Who registers must prove to have an address.
        required_at_registration: bool = false;
        /// Addresses that accounts may have, with `*` for anything: `*@example.org`. Empty: all.
        allowed: Vec<String> = Vec::new();
        /// Accounts may add and delete addresses.
        changes: bool = true;
        /// Who asks for a mail is not told whether an account has the address.
        hide_accounts: bool = false;
        /// Hosts to which people may be led on after they followed the link of a mail (`next_link`). Empty: people stay here, whatever clients ask for.
        next_link_hosts: Vec<String> = Vec::new();
    }
}

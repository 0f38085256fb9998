//! `[passwords]` and `[ldap]`: other systems that know passwords.

use super::section::section;

section! {
    /// Who says whether a password is right. Systems besides this server are asked first.
    "passwords" Passwords {
        /// Passwords that are kept by this server open its accounts.
        local: bool = true;
        /// An HTTP endpoint that knows passwords: it gets `{"user": {"id": "@anna:example.org", "password": "…"}}` by `POST` and answers `{"auth": {"success": true, "mxid": "@anna:example.org", "profile": {"display_name": "Anna", "three_pids": [{"medium": "email", "address": "anna@example.org"}]}}}`. It must be `https`, or on this machine.
        check_url: Option<String> = None, sample "https://accounts.example.org/_matrix-internal/identity/v1/check_credentials";
        /// Who comes for the first time by a password that another system knows gets an account.
        register: bool = true;
        /// Such a system must answer within so many milliseconds.
        timeout_ms: u64 = 10_000;
    }
}

section! {
    /// An LDAP directory that knows passwords. With `user_dn` it is asked by the person's own name and password; else by `bind_dn` where the person's entry is.
    "ldap" Ldap {
        /// `ldaps://host`, or `ldap://host` with `start_tls`; without either only on this machine. Without a URL no directory is asked.
        url: Option<String> = None, sample "ldaps://ldap.example.org";
        /// Secure the connection before anything else is said.
        start_tls: bool = false;
        /// The name of a person's entry; `{username}` stands for what the person logs in with.
        user_dn: Option<String> = None, sample "uid={username},ou=people,dc=example,dc=org";
        /// Who searches for people's entries. Without it the search is anonymous.
        bind_dn: Option<String> = None, sample "cn=playhouse,ou=services,dc=example,dc=org";
        /// The password to it.
        bind_password: Option<String> = None, sample "a long random text";
        /// Where people's entries are.
        base: Option<String> = None, sample "ou=people,dc=example,dc=org";
        /// What a person's entry is found by, and must be like to be let in.
        filter: String = "(uid={username})".to_owned();
        /// The attribute that holds the local part of the user ID.
        localpart_attribute: String = "uid".to_owned();
        /// The attribute that holds the display name of who comes for the first time.
        name_attribute: String = "cn".to_owned();
        /// The attribute that holds e-mail addresses, which become the account's when it is made. Empty: none do.
        mail_attribute: String = "mail".to_owned();
    }
}

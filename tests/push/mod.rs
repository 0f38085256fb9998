//! Push notifications over HTTP and by mail.

mod attempts;
mod mails;
mod pushers;

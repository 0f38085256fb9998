//! Push notifications over HTTP and by mail.

mod mails;
mod pushers;

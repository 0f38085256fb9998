//! Push notifications: what the homeserver sends over HTTP and by mail, and the push gateway against providers that stand on this machine.

mod apns;
mod attempts;
mod backlog;
mod browser;
mod durable;
mod edges;
mod fcm;
mod gateway;
mod import;
mod line;
mod mails;
mod provider;
mod proxy;
mod pushers;
mod storm;
mod sygnal;
mod traced;
mod unsure;
mod webpush;

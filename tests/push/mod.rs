//! Push notifications: what the homeserver sends over HTTP and by mail, and the push gateway against providers that stand on this machine.

mod apns;
mod attempts;
mod backlog;
mod durable;
mod edges;
mod fcm;
mod gateway;
mod import;
mod mails;
mod provider;
mod proxy;
mod pushers;
mod webpush;

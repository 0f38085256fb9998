//! The push gateway against providers that stand on this machine.

mod apns;
mod durable;
mod edges;
mod fcm;
mod gateway;
mod import;
mod provider;
mod proxy;
mod webpush;

//! The client-server API over HTTP, mirroring `src/client/`.

mod discovery;
mod filter;
mod media;
mod to_device;

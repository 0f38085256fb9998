//! The client-server API over HTTP, mirroring `src/client/`.

mod filter;
mod to_device;

//! End-to-end encryption, as far as a server sees it.

mod backup;
mod cross_signing;
mod cross_signing_reset;
pub(crate) mod crypto;
mod dehydrated;
mod device_lists;
mod one_time_keys;

//! Who needs the machine's network interfaces to stay as they are, and who changes them.
//!
//! A browser breaks off whatever it is loading when an address comes or goes anywhere on the machine (`net::ERR_NETWORK_CHANGED`).

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static INTERFACES: RwLock<()> = RwLock::const_new(());

/// As long as it is held no test of this program changes the machine's interfaces.
pub(crate) type InterfacesStay = RwLockReadGuard<'static, ()>;

/// As long as it is held no test of this program runs that needs them to stay as they are.
pub(crate) type InterfacesChange = RwLockWriteGuard<'static, ()>;

/// Waits until nobody changes them.
pub(crate) async fn interfaces_stay() -> InterfacesStay {
    INTERFACES.read().await
}

/// Waits until nobody needs them to stay.
pub(crate) async fn interfaces_change() -> InterfacesChange {
    INTERFACES.write().await
}

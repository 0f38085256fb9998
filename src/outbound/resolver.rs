//! Names become addresses once, and only those that may be connected to leave here: what was checked is what is connected to, so a name that changes its
//! mind in between (DNS rebinding) gains nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{OutboundError, addresses::AddressRules};

/// Of many addresses so many are tried.
const ADDRESSES_MAX: usize = 8;

/// An answer to come.
pub(crate) type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Asks for the addresses of a name: the seam for tests.
pub(crate) trait Lookup: Send + Sync + 'static {
    /// All addresses of a host.
    fn addresses(&self, host: &str) -> Looking;
}

/// The resolver of the operating system.
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, host: &str) -> Looking {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Lets through only what the rules permit.
pub(super) struct Guard {
    pub(super) rules: AddressRules,
    pub(super) lookup: Arc<dyn Lookup>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let looking = self.lookup.addresses(name.as_str());
        let rules = self.rules.clone();
        Box::pin(async move {
            let found = looking.await.map_err(|_| OutboundError::Unresolved)?;
            if found.is_empty() {
                return Err(OutboundError::Unresolved.into());
            }
            // A name that leads inside among other places is not a name to follow.
            if !found.iter().all(|address| rules.permit(*address)) {
                return Err(OutboundError::Refused("this address is not asked").into());
            }
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .take(ADDRESSES_MAX)
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

//! The domain name system.

use std::{io, sync::Arc};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy, proto::rr::RData};
use playhouse_actors::env::Env;
use tokio::sync::OnceCell;

use crate::outbound::{Looking, Lookup};

/// Of a service so many hosts are tried.
const TARGETS_MAX: usize = 8;

/// Asks the system's name servers, and remembers as long as they say.
pub(super) struct Dns {
    env: Env,
    resolver: Arc<OnceCell<TokioResolver>>,
}

/// A host that offers a service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    priority: u16,
    weight: u16,
    target: (String, u16),
}

impl Dns {
    pub(super) fn new(env: Env) -> Self {
        Self {
            env,
            resolver: Arc::default(),
        }
    }

    /// The hosts and ports of a service, best first. Empty when there are none or nobody can tell.
    pub(super) async fn services(&self, name: String) -> Vec<(String, u16)> {
        let offers = match resolver(&self.resolver).await {
            Ok(resolver) => match resolver.srv_lookup(name.as_str()).await {
                Ok(found) => found.answers().iter().filter_map(offer).collect(),
                Err(error) => {
                    tracing::trace!(name, %error, "no service");
                    Vec::new()
                }
            },
            Err(error) => {
                tracing::warn!(%error, "no name server");
                Vec::new()
            }
        };
        in_order(offers, |below| {
            u32::from_le_bytes(self.env.random_bytes()) % below.max(1)
        })
    }
}

async fn resolver(cell: &OnceCell<TokioResolver>) -> io::Result<&TokioResolver> {
    cell.get_or_try_init(|| async {
        let mut builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = 4_096;
        builder.build().map_err(io::Error::other)
    })
    .await
}

fn offer(record: &hickory_resolver::proto::rr::Record) -> Option<Offer> {
    let RData::SRV(service) = &record.data else {
        return None;
    };
    let host = service.target.to_ascii();
    let host = host.trim_end_matches('.');
    // The root stands for a service that is decidedly not there.
    (!host.is_empty()).then(|| Offer {
        priority: service.priority,
        weight: service.weight,
        target: (host.to_owned(), service.port),
    })
}

/// The order in which hosts are tried: by priority, and by chance according to weight among equals.
fn in_order(mut offers: Vec<Offer>, mut pick: impl FnMut(u32) -> u32) -> Vec<(String, u16)> {
    offers.sort_by_key(|offer| (offer.priority, offer.weight));
    let mut ordered = Vec::new();
    while !offers.is_empty() && ordered.len() < TARGETS_MAX {
        let best = offers[0].priority;
        let equals = offers.iter().take_while(|offer| offer.priority == best);
        // Whoever has no weight is taken now and then.
        let weights: Vec<u32> = equals.map(|offer| u32::from(offer.weight).max(1)).collect();
        let mut left = pick(weights.iter().sum());
        let mut chosen = 0;
        while left >= weights[chosen] && chosen + 1 < weights.len() {
            left -= weights[chosen];
            chosen += 1;
        }
        ordered.push(offers.remove(chosen).target);
    }
    ordered
}

impl Lookup for Dns {
    fn addresses(&self, host: &str) -> Looking {
        let (cell, host) = (self.resolver.clone(), host.to_owned());
        Box::pin(async move {
            if let Ok(address) = host.parse() {
                return Ok(vec![address]);
            }
            let found = resolver(&cell).await?.lookup_ip(host.as_str()).await;
            Ok(found.map_err(io::Error::other)?.iter().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_tried_by_priority_and_weight() {
        let offer = |priority, weight, port| Offer {
            priority,
            weight,
            target: ("h".to_owned(), port),
        };
        let offers = vec![
            offer(20, 0, 5),
            offer(10, 60, 1),
            offer(10, 40, 2),
            offer(10, 0, 3),
        ];
        let ports = |pick: fn(u32) -> u32| {
            let order = in_order(offers.clone(), pick);
            order.into_iter().map(|(_, port)| port).collect::<Vec<_>>()
        };
        assert_eq!(ports(|_| 0), [3, 2, 1, 5]);
        assert_eq!(ports(|below| below - 1), [1, 2, 3, 5]);
        assert!(in_order(Vec::new(), |_| 0).is_empty());
    }
}

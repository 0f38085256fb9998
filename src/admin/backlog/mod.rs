//! What is left undone: destinations that lack something, pushers, and records that a reader of the log could not take in.

mod discard_parked;
mod list_destinations;
mod list_parked;
mod list_pushers;
mod retry_parked;

use playhouse_actors::{admins::AdminRole, house::ParkedPlace};
use playhouse_schema::{
    address::{Family, Shard},
    models::parked::Parked,
};
use serde::{Deserialize, Serialize};

use crate::edge::{Failure, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_destinations::handle);
    routes.mount(list_parked::handle);
    // Whoever has a pusher's key can push to it.
    routes.mount(list_pushers::handle).role(AdminRole::Operate);
    routes
        .mount(discard_parked::handle)
        .role(AdminRole::Operate);
    routes.mount(retry_parked::handle).role(AdminRole::Operate);
}

/// A record that a reader of the log could not take in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// A read model's table, or a follower.
    reader: String,
    /// `rooms`, `users` or `servers`.
    family: &'static str,
    shard: u16,
    position: u64,
    /// Whose record.
    entity: String,
    reason: String,
    /// The version of the program that tried; empty when it is to be tried again.
    program: String,
}

impl From<Parked> for Shown {
    fn from(parked: Parked) -> Self {
        Self {
            reader: parked.name,
            family: parked.shard.family.name(),
            shard: parked.shard.number,
            position: parked.position,
            entity: parked.entity,
            reason: parked.reason,
            program: parked.program,
        }
    }
}

/// Where something is parked, as requests name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    reader: String,
    family: String,
    shard: u16,
    position: u64,
}

impl Place {
    fn parked(self) -> Result<ParkedPlace, Failure> {
        let mut families = Family::ALL.into_iter();
        let family = families.find(|one| one.name() == self.family);
        let family = family
            .ok_or_else(|| Failure::invalid_param("family is none of rooms, users and servers"))?;
        Ok(ParkedPlace {
            reader: self.reader,
            shard: Shard {
                family,
                number: self.shard,
            },
            position: self.position,
        })
    }
}

//! What administrators see of the nodes of a server, and say to them. These are Playhouse's own: `/_playhouse/admin`.

mod cluster_status;
mod drain_node;
mod forget_node;
mod join_node;
mod move_shard;
mod pin_room;
mod pin_shard;

use std::sync::Arc;

use playhouse_actors::cluster::Ward;
use playhouse_schema::address::Shard;

use crate::{
    cluster::{
        orders::{Order, OrderError},
        status::shard_of,
    },
    edge::{App, Failure, Routes},
};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(cluster_status::handle);
    routes.mount(drain_node::handle);
    routes.mount(forget_node::handle);
    routes.mount(join_node::handle);
    routes.mount(move_shard::handle);
    routes.mount(pin_room::handle);
    routes.mount(pin_room::undo::handle);
    routes.mount(pin_shard::handle);
    routes.mount(pin_shard::undo::handle);
}

fn ward(app: &App) -> Result<&Arc<Ward>, Failure> {
    let ward = app.house.ward();
    ward.ok_or_else(|| Failure::not_found("this server has one node only"))
}

/// Carries out an order, and lets this node look at once.
async fn give(app: &App, order: Order) -> Result<(), Failure> {
    let ward = ward(app)?;
    let given = ward.answered(order.give(&**ward.register())).await;
    given.map_err(refusal)?;
    ward.ring();
    Ok(())
}

fn refusal(error: OrderError) -> Failure {
    match error {
        OrderError::UnknownNode(_) => Failure::not_found(error.to_string()),
        OrderError::Unfit(..) | OrderError::Alive(_) => Failure::invalid_param(error.to_string()),
        OrderError::Store(error) => error.into(),
    }
}

fn shard(app: &App, family: &str, number: &str) -> Result<Shard, Failure> {
    let layout = app.house.store().layout();
    let shard = number.parse().ok();
    let shard = shard.and_then(|number| shard_of(layout, family, number));
    shard.ok_or_else(|| Failure::not_found("there is no such shard"))
}

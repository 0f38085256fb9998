//! What operators tell a cluster. It is written into the register, and the nodes do it with their next beat.

use playhouse_actors::cluster::balance::role_of;
use playhouse_schema::{
    address::Shard,
    port::StoreError,
    register::{NodeEntry, NodeName, Register, RegisterView},
};

use super::status::takes_shards;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// A shard goes to a node now, and may go on from there as loads change.
    Move(Shard, String),
    /// A shard goes to a node and stays there as long as the node lives. `true`: alone, all that is not pinned there goes elsewhere.
    Pin(Shard, String, bool),
    /// A shard may be anywhere again.
    Unpin(Shard),
    /// A node gives all shards away and gets none.
    Drain(String),
    /// A node takes shards again.
    Join(String),
    /// A node is dead and is forgotten. `true`: even if its lease still runs, because somebody knows better.
    Forget(String, bool),
}

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// There is no such node.
    #[error("there is no node {0}")]
    UnknownNode(String),
    /// The node cannot take the shard.
    #[error("node {0} takes no such shard: {1}")]
    Unfit(NodeName, &'static str),
    /// The node lives.
    #[error("node {0} lives: stop it first")]
    Alive(NodeName),
    /// The register cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Order {
    /// Writes it into the register.
    pub(crate) async fn give(self, register: &dyn Register) -> Result<(), OrderError> {
        let view = register.view().await?;
        match self {
            Order::Move(shard, node) => {
                let node = fit(&view, shard, &node)?.name.clone();
                let pinned = view.shards.iter().find(|entry| entry.shard == shard);
                if pinned.is_some_and(|entry| entry.pinned.is_some()) {
                    register.pin(shard, None, false).await?;
                }
                register.want(&[(shard, Some(node))]).await?;
            }
            Order::Pin(shard, node, alone) => {
                let node = fit(&view, shard, &node)?.name.clone();
                register.pin(shard, Some(node), alone).await?;
            }
            Order::Unpin(shard) => register.pin(shard, None, false).await?,
            Order::Drain(node) => register.rest(&known(&view, &node)?.name, true).await?,
            Order::Join(node) => register.rest(&known(&view, &node)?.name, false).await?,
            Order::Forget(node, surely) => {
                let node = known(&view, &node)?;
                if node.is_alive() && !surely {
                    return Err(OrderError::Alive(node.name.clone()));
                }
                register.leave(node.incarnation).await?;
                register.forget(&node.name).await?;
            }
        }
        Ok(())
    }
}

fn known<'a>(view: &'a RegisterView, name: &str) -> Result<&'a NodeEntry, OrderError> {
    let mut nodes = view.nodes.iter();
    let node = nodes.find(|node| node.name.as_str() == name);
    node.ok_or_else(|| OrderError::UnknownNode(name.to_owned()))
}

/// The node, if it can take the shard.
fn fit<'a>(view: &'a RegisterView, shard: Shard, name: &str) -> Result<&'a NodeEntry, OrderError> {
    let node = known(view, name)?;
    let unfit = |why| Err(OrderError::Unfit(node.name.clone(), why));
    if !node.is_alive() {
        return unfit("it is dead");
    }
    if !takes_shards(node) {
        return unfit("it is draining");
    }
    if !node.roles.iter().any(|role| role == role_of(shard.family)) {
        return unfit("it has not the role");
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use playhouse_schema::{address::Family, register::Standing};
    use uuid::Uuid;

    use super::*;

    fn node(name: &str, standing: Standing, left_ms: u64) -> NodeEntry {
        NodeEntry {
            roles: vec!["rooms".to_owned()],
            standing,
            left_ms,
            ..NodeEntry::new(NodeName::parse(name).unwrap(), Uuid::from_u128(1))
        }
    }

    #[test]
    fn shards_go_only_where_they_can() {
        let view = RegisterView {
            nodes: vec![
                node("a", Standing::Serving, 1),
                node("b", Standing::Draining, 1),
                node("c", Standing::Serving, 0),
            ],
            shards: Vec::new(),
        };
        let shard = |family| Shard { family, number: 0 };
        let rooms = shard(Family::Rooms);
        assert_eq!(fit(&view, rooms, "a").unwrap().name.as_str(), "a");
        for (node, family, word) in [
            ("a", Family::Users, "role"),
            ("b", Family::Rooms, "draining"),
            ("c", Family::Rooms, "dead"),
            ("d", Family::Rooms, "no node d"),
        ] {
            let refused = fit(&view, shard(family), node).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }
}

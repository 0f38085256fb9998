//! What a ward asks of the node that it belongs to: to begin and to end what lives in shards, and to tell the others.

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Shard,
    register::{Claim, Handed, NodeEntry, NodeName},
};

use super::facts::Facts;

/// What lives in shards on this node.
pub trait Tenants: Send + Sync + 'static {
    /// Takes the log of claimed shards, and begins what lives in them. Tells those that could not be taken.
    fn begin<'a>(&'a self, claims: &'a [Claim]) -> BoxFuture<'a, Vec<Shard>>;

    /// Lets end what lives in a shard, each after what it was given, and lets go of its log.
    fn end(&self, shard: Shard) -> BoxFuture<'_, ()>;

    /// Ends what lives in a shard at once: another node may hold it.
    fn abandon(&self, shard: Shard) -> BoxFuture<'_, ()>;

    /// The shards of which the log has refused this node.
    fn lost(&self) -> Vec<Shard>;

    /// How busy this node is.
    fn facts(&self) -> Facts;
}

/// Tells other nodes what they would find in the register a little later.
pub trait Herald: Send + Sync + 'static {
    /// This node serves shards, under these terms.
    fn serving(&self, shards: &[(Shard, u64)]);

    /// The register says something new that concerns another node: a shard that it waits for is free, or one is to come or to go.
    fn look(&self, node: &NodeName);

    /// A node has a shard that this one gave away.
    fn hand(&self, node: &NodeName, handed: Handed);

    /// The nodes that live.
    fn living(&self, nodes: &[NodeEntry]);
}

//! `[cluster]`: several nodes of one server.

use playhouse_actors::cluster::roles;

use super::section::section;

section! {
    /// Several nodes of one server, over one PostgreSQL database. A node that listens for others belongs to the cluster of that database; the others are found
    /// there. Media must be in a folder that all nodes share, or in a bucket.
    "cluster" Cluster {
        /// `host:port` for the other nodes. They alone can use it: it is encrypted, and knows them by the secret.
        listen: Option<String> = None, sample "10.0.0.2:8449";
        /// Where other nodes reach this one, when that is not where it listens.
        advertise: Option<String> = None, sample "node-1.internal:8449";
        /// What makes nodes one cluster: at least 16 random bytes, the same on all nodes.
        secret: Option<String> = None, sample "a long random text";
        /// A file with the secret, instead of it.
        secret_file: Option<String> = None, sample "/etc/playhouse/cluster.secret";
        /// What this node is called: letters, digits, `.`, `_` and `-`. Without it one is made at the first start and kept in the data folder, in `node.name`.
        name: Option<String> = None, sample "node-1";
        /// What this node is for. `rooms`, `users` and `servers`: it may hold their shards. `edge`: it answers clients, other servers and administrators.
        /// `media`: it drops old media. `directory`: it folds the directories of users and rooms. `push` and `appservice`: it notifies devices and application
        /// services. `background`: all else that one node at a time does. Each must be on some node.
        roles: Vec<String> = roles::all();
        /// A node of which nothing was heard for so long, milliseconds, has lost its shards.
        lease_ms: u64 = 3_000;
        /// How often a node says that it lives, milliseconds; at most a quarter of `lease_ms`.
        beat_ms: u64 = 500;
        /// A node whose port is closed is dead at once, not only when its lease ends. Off where a firewall refuses instead of dropping.
        fast_burial: bool = true;
    }
}

impl Cluster {
    /// Whether this node answers clients, other servers and administrators.
    pub(crate) fn is_edge(&self) -> bool {
        self.listen.is_none() || roles::has(&self.roles, roles::EDGE)
    }
}

//! What makes a house one of several nodes.

use std::{sync::Arc, time::Duration};

use playhouse_schema::register::NodeName;

use super::courier::Wire;

/// What makes a house one of several nodes.
#[derive(Clone)]
pub struct ClusterConfig {
    /// What the operator calls it.
    pub name: NodeName,
    /// Where other nodes reach it: `host:port`.
    pub address: String,
    /// What it does.
    pub roles: Vec<String>,
    /// Others take over so long after it was heard of last.
    pub lease: Duration,
    /// How often it lets itself be heard of.
    pub beat: Duration,
    /// What carries its words to other nodes. It is opened once the house stands.
    pub wire: Arc<dyn Wire>,
}

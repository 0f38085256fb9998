//! What is known of other servers' keys.

use playhouse_schema::address::Entity;
use ruma::ServerName;

use super::House;
use crate::peer_keys::{HeardKeys, KeysQuery, KnownKeys, LearnKeys, PeerKeysError};

impl House {
    /// What is known of a server's keys.
    pub async fn peer_keys(&self, server_name: &ServerName) -> Result<KnownKeys, PeerKeysError> {
        let entity = Entity::peer_keys(server_name.as_str());
        self.peer_keys.query(entity, KeysQuery).await
    }

    /// Keeps what was heard of a server's keys; answers what is known then.
    pub async fn learn_peer_keys(
        &self,
        server_name: &ServerName,
        heard: HeardKeys,
    ) -> Result<KnownKeys, PeerKeysError> {
        let entity = Entity::peer_keys(server_name.as_str());
        self.peer_keys.command(entity, LearnKeys(heard)).await
    }
}

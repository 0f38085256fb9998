//! Where an alias of another server points.

use ruma::{OwnedRoomId, OwnedServerName, RoomAliasId};
use serde::Deserialize;

use super::{SERVERS_MAX, handshake::refusal};
use crate::{
    alias::AliasError,
    house::{
        House, HouseError, ResolvedAlias,
        peers::{Patience, segment},
    },
    network::PeerError,
};

#[derive(Deserialize)]
struct Answer {
    room_id: OwnedRoomId,
    #[serde(default)]
    servers: Vec<OwnedServerName>,
}

impl House {
    /// Asks an alias' server where it points. That server itself is the first that may know the room.
    pub(in crate::house) async fn ask_for_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<ResolvedAlias, HouseError> {
        let server = alias.server_name();
        let name = segment(alias.as_str());
        let path = format!("/_matrix/federation/v1/query/directory?room_alias={name}");
        let asked: Result<Answer, _> = self.ask_peer(server, path, Patience::SHORT).await;
        let answer = asked.map_err(|error| match error {
            PeerError::Refused { status: 404, .. } => AliasError::Unknown.into(),
            error => refusal(server, error),
        })?;
        let mut servers = vec![server.to_owned()];
        servers.extend(answer.servers.into_iter().take(SERVERS_MAX));
        Ok(ResolvedAlias {
            room_id: answer.room_id,
            servers,
        })
    }
}

//! What an alias makes of a command.

use playhouse_schema::record::alias::{AliasRecord, Pointed};
use ruma::{RoomId, UserId};

use super::{
    message::{AliasCommand, AliasError, AliasReply},
    state::Alias,
};
use crate::{env::Env, kernel::Decision};

pub(super) fn decide(
    alias: &Alias,
    command: AliasCommand,
    env: &Env,
) -> Result<Decision<Alias>, AliasError> {
    let target = alias.target();
    match command {
        AliasCommand::Create { room_id, creator } => match target {
            Some(target) => Err(AliasError::Taken(target)),
            None => Ok(point(&room_id, &creator, env)),
        },
        AliasCommand::Repoint { from, to, creator } => match target {
            Some(target) if target.room_id == to => Ok(Decision::unchanged(AliasReply)),
            Some(target) if target.room_id == from => {
                Ok(point(&to, creator.as_ref().unwrap_or(&target.creator), env))
            }
            _ => Err(AliasError::Unknown),
        },
        AliasCommand::Delete { room_id } => match target {
            Some(target) if target.room_id == room_id => {
                Ok(Decision::new(vec![AliasRecord::Deleted], AliasReply))
            }
            _ => Ok(Decision::unchanged(AliasReply)),
        },
    }
}

fn point(room_id: &RoomId, creator: &UserId, env: &Env) -> Decision<Alias> {
    let pointed = Pointed {
        room_id: room_id.to_string(),
        creator: creator.to_string(),
        at_ms: env.now_ms(),
    };
    Decision::new(vec![AliasRecord::Pointed(pointed)], AliasReply)
}

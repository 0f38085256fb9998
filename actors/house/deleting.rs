//! How the purger deletes rooms, one after the other: everybody leaves, names go, nothing counts any more, and what stands there is replaced.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use playhouse_schema::{
    address::{Entity, Sequence},
    port::EntityRange,
    record::{
        ERASURE,
        codec::Record as _,
        purge::{Deletion, DeletionMoved, PurgeEnded},
        room::{Gone, RoomRecord, kind},
    },
};
use ruma::{OwnedRoomId, RoomId};

use super::{
    House, HouseError,
    purges::{PAGE_RECORDS, Purger, Trouble, purges},
    surprise,
};
use crate::{
    alias::AliasError,
    followers::task::Stop,
    purges::{DeletionStanding, PurgeAnswer, PurgeCommand, PurgeQuery},
    room::{RoomCommand, RoomError},
};

/// After so many members it is noted how far it has come.
const NOTED_MEMBERS: usize = 20;

impl Purger {
    /// Does the deletions whose time has come. Tells how long it is until the next one.
    pub(super) async fn delete_all(&self, stop: &mut Stop) -> Result<Duration, Trouble> {
        let waiting = self.purges.query(purges(), PurgeQuery::DeletionsWaiting);
        let PurgeAnswer::Deletions(waiting) = waiting.await? else {
            return Err(Trouble::Passing(surprise("DeletionsWaiting").to_string()));
        };
        let (mut left, mut outcome) = (Duration::MAX, Ok(()));
        for standing in waiting {
            let due_in = standing.deletion.due_ms.saturating_sub(self.env.now_ms());
            if due_in > 0 {
                left = left.min(Duration::from_millis(due_in));
                continue;
            }
            let error = match self.delete(&standing, stop).await {
                Ok(()) => None,
                Err(Trouble::Hopeless(error)) => Some(error),
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
                // The others do not wait for it.
                Err(trouble) => {
                    outcome = Err(trouble);
                    continue;
                }
            };
            let room_id = &standing.deletion.room_id;
            tracing::info!(room_id, error, "room deletion ended");
            let ended = PurgeEnded {
                id: standing.deletion.id,
                error,
                at_ms: self.env.now_ms(),
            };
            let command = PurgeCommand::EndDeletion(ended);
            self.purges.command(purges(), command).await?;
            self.bells.ended.notify_waiters();
        }
        outcome.map(|()| left)
    }

    async fn delete(&self, standing: &DeletionStanding, stop: &mut Stop) -> Result<(), Trouble> {
        let deletion = &standing.deletion;
        let room_id = RoomId::parse(&deletion.room_id);
        let room_id = room_id.map_err(|error| Trouble::Hopeless(error.to_string()))?;
        if !standing.done.emptied {
            self.shut_down(&room_id, standing, stop).await?;
            if deletion.purge {
                let entity = Entity::room(room_id.as_str());
                self.rooms
                    .command(entity.clone(), RoomCommand::Empty)
                    .await?;
                // It names what is about to go.
                self.store.drop_snapshot(&entity).await?;
                let emptied = true;
                self.note(DeletionMoved {
                    emptied,
                    ..self.nothing_yet(deletion)
                })
                .await?;
            }
        }
        if deletion.purge {
            self.clear(&room_id, &deletion.id, stop).await?;
        }
        Ok(())
    }

    fn house(&self) -> Result<Arc<House>, Trouble> {
        let house = self.outlet.0.get().and_then(Weak::upgrade);
        house.ok_or_else(|| Trouble::Passing("the house is not open".to_owned()))
    }

    fn nothing_yet(&self, deletion: &Deletion) -> DeletionMoved {
        DeletionMoved {
            id: deletion.id.clone(),
            ..DeletionMoved::default()
        }
    }

    async fn note(&self, moved: DeletionMoved) -> Result<(), Trouble> {
        self.purges
            .command(purges(), PurgeCommand::Move(moved))
            .await?;
        Ok(())
    }

    /// Everybody leaves, and the room loses its names and its place in the list.
    async fn shut_down(
        &self,
        room_id: &RoomId,
        standing: &DeletionStanding,
        stop: &mut Stop,
    ) -> Result<(), Trouble> {
        let (house, deletion) = (self.house()?, &standing.deletion);
        // Of a room that all have forgotten, nobody is made to leave who has come back.
        if deletion.by.is_none() && !house.is_forgotten(room_id).await? {
            return Err(Trouble::Hopeless("somebody has come back".to_owned()));
        }
        let refuge = self.refuge(&house, standing).await?;
        let others = match house.room_gate(room_id, house.env.server_name()).await {
            Ok(gate) => gate.others,
            Err(HouseError::Room(RoomError::UnknownRoom)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        self.move_all(&house, (room_id, refuge.as_deref()), (deletion, stop))
            .await?;
        let mut aliases = Vec::new();
        for alias in house.local_aliases(room_id).await? {
            match &refuge {
                Some(refuge) => {
                    house.repoint_alias(&alias, room_id, refuge).await?;
                    aliases.push(alias.to_string());
                }
                None => match house.release_alias(&alias, room_id).await {
                    Ok(()) | Err(HouseError::Alias(AliasError::Unknown)) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        let unlist = RoomCommand::SetDirectoryVisibility {
            user_id: None,
            public: false,
        };
        match house.room_command(room_id, unlist).await {
            Ok(_) | Err(RoomError::UnknownRoom) => {}
            Err(error) => return Err(error.into()),
        }
        self.note(DeletionMoved {
            aliases,
            ..self.nothing_yet(deletion)
        })
        .await?;
        if deletion.purge {
            if !deletion.force_purge && !house.own_members(room_id, "join").await?.is_empty() {
                return Err(Trouble::Hopeless("users are still in the room".to_owned()));
            }
            for membership in ["leave", "ban"] {
                for user_id in house.own_members(room_id, membership).await? {
                    house.forget_gone(room_id, &user_id).await?;
                }
            }
            house.part(room_id, &others).await;
        }
        Ok(())
    }

    async fn refuge(
        &self,
        house: &House,
        standing: &DeletionStanding,
    ) -> Result<Option<OwnedRoomId>, Trouble> {
        let deletion = &standing.deletion;
        if let Some(made) = &standing.done.new_room_id {
            return Ok(RoomId::parse(made).ok());
        }
        let Some(wanted) = &deletion.new_room else {
            return Ok(None);
        };
        let made = house.make_refuge(wanted).await?;
        self.note(DeletionMoved {
            new_room_id: Some(made.to_string()),
            ..self.nothing_yet(deletion)
        })
        .await?;
        Ok(Some(made))
    }

    async fn move_all(
        &self,
        house: &House,
        (room_id, refuge): (&RoomId, Option<&RoomId>),
        (deletion, stop): (&Deletion, &mut Stop),
    ) -> Result<(), Trouble> {
        for membership in ["join", "invite", "knock"] {
            let into = refuge.filter(|_| membership == "join");
            for users in house
                .own_members(room_id, membership)
                .await?
                .chunks(NOTED_MEMBERS)
            {
                let mut moved = self.nothing_yet(deletion);
                for user_id in users {
                    match house.move_out(user_id, (room_id, into)).await {
                        Ok(()) => moved.kicked.push(user_id.to_string()),
                        Err(error) => {
                            tracing::warn!(%room_id, %user_id, %error, "cannot be made to leave");
                            moved.failed.push(user_id.to_string());
                        }
                    }
                }
                self.note(moved).await?;
                if stop.is_told() {
                    return Err(Trouble::Stopped);
                }
            }
        }
        Ok(())
    }

    /// Replaces all that was recorded before the room was emptied. What an earlier attempt has done since it was last noted costs only the reading.
    async fn clear(&self, room_id: &RoomId, id: &str, stop: &mut Stop) -> Result<(), Trouble> {
        let entity = Entity::room(room_id.as_str());
        let Some(emptied) = self.emptied_at(&entity).await? else {
            return Ok(());
        };
        let gone = RoomRecord::Gone(Gone {}).encode();
        let mut course = self.course(id, &entity).await?;
        course.done.of = emptied;
        while course.done.up_to + 1 < emptied {
            let range = EntityRange {
                from: course.done.up_to + 1,
                to: emptied - 1,
                backwards: false,
                limit: PAGE_RECORDS,
            };
            let page = self.store.read_entity(&entity, range).await?;
            let Some(last) = page.last().map(|record| record.sequence) else {
                break;
            };
            let left = page.iter().filter(|record| {
                !matches!(record.kind, ERASURE | kind::EMPTIED) && record.payload != gone
            });
            let left: Vec<_> = left.map(|record| record.sequence).collect();
            let count = left.len();
            if count > 0 {
                let command = RoomCommand::Clear(left);
                self.rooms.command(entity.clone(), command).await?;
            }
            self.come_to(&mut course, (last, count), stop).await?;
        }
        self.store.drop_snapshot(&entity).await?;
        self.scrub().await
    }

    /// The newest record with which a room was emptied.
    async fn emptied_at(&self, entity: &Entity) -> Result<Option<Sequence>, Trouble> {
        let mut to = Sequence::MAX >> 1;
        loop {
            let range = EntityRange {
                from: 1,
                to,
                backwards: true,
                limit: PAGE_RECORDS,
            };
            let page = self.store.read_entity(entity, range).await?;
            let found = page.iter().find(|record| record.kind == kind::EMPTIED);
            if let Some(found) = found {
                return Ok(Some(found.sequence));
            }
            match page.last() {
                Some(oldest) if oldest.sequence > 1 => to = oldest.sequence - 1,
                _ => return Ok(None),
            }
        }
    }
}

//! The public room list as requests ask for it and answers show it.

use playhouse_actors::house::{ListPage, ListToken, ListWish, RemoteListPage, RemoteListWish};
use playhouse_schema::models::public_rooms::ListedRoom;
use ruma::{
    OwnedRoomId, OwnedServerName, UInt,
    directory::{PublicRoomsChunk, PublicRoomsChunkInit},
};

use crate::edge::{App, Failure};

/// So many rooms a page has when the client does not say.
const LIMIT: u64 = 100;

/// So many rooms a page has at most.
const LIMIT_MAX: u64 = 500;

/// So many bytes a search term has at most.
const TERM_BYTES_MAX: usize = 255;

/// So many types may be asked for.
const TYPES_MAX: usize = 32;

/// The part of this server's list that is wanted.
pub(crate) fn wish((limit, since): (Option<UInt>, Option<&str>)) -> Result<ListWish, Failure> {
    let from = since.filter(|since| !since.is_empty()).map(|since| {
        ListToken::parse(since)
            .ok_or_else(|| Failure::invalid_param("since is not a token of this list"))
    });
    Ok(ListWish {
        from: from.transpose()?,
        limit: rooms_of_page(limit),
        ..ListWish::default()
    })
}

fn rooms_of_page(limit: Option<UInt>) -> usize {
    let limit = limit.map_or(LIMIT, u64::from);
    // 0 stands for no limit of the client's own.
    if limit == 0 { LIMIT } else { limit }.min(LIMIT_MAX) as usize
}

/// The other server whose list is wanted.
pub(crate) fn elsewhere<'a>(
    app: &App,
    server: Option<&'a OwnedServerName>,
) -> Option<&'a OwnedServerName> {
    server.filter(|server| !app.house.is_local(server))
}

/// The part of another server's list that is wanted.
pub(crate) fn remote_wish((limit, since): (Option<UInt>, Option<String>)) -> RemoteListWish {
    RemoteListWish {
        limit: rooms_of_page(limit),
        since: since.filter(|since| !since.is_empty()),
        ..RemoteListWish::default()
    }
}

/// A page of another server's list as an answer shows it.
pub(crate) fn show_remote(page: RemoteListPage) -> Shown {
    Shown {
        chunk: page.rooms,
        next_batch: page.next,
        prev_batch: page.previous,
        total: page.listed,
    }
}

/// Refuses what nobody means.
pub(crate) fn check_filter(
    term: Option<&str>,
    room_types: &[Option<String>],
) -> Result<(), Failure> {
    if term.is_some_and(|term| term.len() > TERM_BYTES_MAX) {
        return Err(Failure::invalid_param("generic_search_term is too long"));
    }
    if room_types.len() > TYPES_MAX {
        return Err(Failure::invalid_param("too many room_types"));
    }
    Ok(())
}

/// What an answer shows.
pub(crate) struct Shown {
    pub(crate) chunk: Vec<PublicRoomsChunk>,
    pub(crate) next_batch: Option<String>,
    pub(crate) prev_batch: Option<String>,
    pub(crate) total: Option<UInt>,
}

/// A page as an answer shows it.
pub(crate) fn show(page: ListPage) -> Shown {
    Shown {
        chunk: page.rooms.into_iter().filter_map(chunk).collect(),
        next_batch: page.next.map(|token| token.write()),
        prev_batch: page.previous.map(|token| token.write()),
        total: UInt::new(page.listed),
    }
}

/// `None` for a room whose ID ruma does not take.
fn chunk(room: ListedRoom) -> Option<PublicRoomsChunk> {
    let init = PublicRoomsChunkInit {
        num_joined_members: UInt::new_saturating(room.place.joined),
        room_id: OwnedRoomId::try_from(room.place.room_id).ok()?,
        world_readable: room.history_visibility.as_deref() == Some("world_readable"),
        guest_can_join: room.guest_access.as_deref() == Some("can_join"),
    };
    let mut chunk = PublicRoomsChunk::from(init);
    chunk.name = room.name;
    chunk.topic = room.topic;
    chunk.avatar_url = room.avatar_url.map(Into::into);
    chunk.canonical_alias = room.canonical_alias.and_then(|alias| alias.try_into().ok());
    // Without join rules a room is joined by invitation.
    chunk.join_rule = room.join_rule.as_deref().unwrap_or("invite").into();
    chunk.room_type = room.room_type.map(Into::into);
    Some(chunk)
}

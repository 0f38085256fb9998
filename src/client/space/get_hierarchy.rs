//! `GET /_matrix/client/*/rooms/{roomId}/hierarchy`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::house::{HierarchyWish, SeenRoom};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, UInt,
    api::client::space::{
        SpaceHierarchyRoomsChunk,
        get_hierarchy::v1::{Request, Response},
    },
    serde::Raw,
};
use serde_json::value::RawValue;

use crate::{
    client::query::parameters,
    edge::{App, Arguments, Failure, Session},
};

/// So many rooms a page has, unless the client wants fewer.
const LIMIT: u64 = 50;

/// So many servers that may know the space are heard of.
const VIA_MAX: usize = 16;

/// What is asked for.
pub(crate) struct Asked {
    /// The space.
    pub(crate) room_id: OwnedRoomId,
    /// Servers that may know it.
    pub(crate) via: Vec<OwnedServerName>,
    /// Who asks.
    pub(crate) user_id: OwnedUserId,
    /// The asker is an administrator who looks at what is known here.
    pub(crate) sees_all: bool,
    /// Only rooms that their spaces suggest.
    pub(crate) suggested_only: bool,
    /// So far into the tree.
    pub(crate) max_depth: Option<UInt>,
    /// Where to go on.
    pub(crate) from: Option<String>,
    /// At most so many rooms.
    pub(crate) limit: Option<UInt>,
}

/// Lists the rooms of a space and of the spaces in it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
    arguments: Arguments,
) -> Result<Response, Failure> {
    let asked = Asked {
        room_id: request.room_id,
        via: via(arguments.query.as_deref())?,
        user_id: caller.user_id.clone(),
        sees_all: false,
        suggested_only: request.suggested_only,
        max_depth: request.max_depth,
        from: request.from,
        limit: request.limit,
    };
    let mut response = Response::new();
    (response.rooms, response.next_batch) = find(&app, asked).await?;
    Ok(response)
}

/// A page of rooms, and where to go on.
pub(crate) async fn find(
    app: &App,
    asked: Asked,
) -> Result<(Vec<SpaceHierarchyRoomsChunk>, Option<String>), Failure> {
    let scope = scope(asked.max_depth, asked.suggested_only);
    let from = asked.from.filter(|from| !from.is_empty());
    let after = from.map(|from| parse(&from, &scope)).transpose()?;
    let limit = asked.limit.map_or(LIMIT, u64::from).clamp(1, LIMIT);
    let wish = HierarchyWish {
        room_id: asked.room_id,
        via: asked.via,
        user_id: asked.user_id,
        sees_all: asked.sees_all,
        suggested_only: asked.suggested_only,
        depth_max: asked.max_depth.map(u64::from),
        after,
        limit: limit as usize,
    };
    let page = app.house.hierarchy(wish).await?;
    let last = page.rooms.last().filter(|_| page.more);
    let next = last.map(|room| format!("{scope}~{}", room.summary.room_id));
    let rooms = page.rooms.into_iter().map(chunk);
    Ok((rooms.collect::<Result<_, _>>()?, next))
}

/// Servers that may know the space (MSC4235).
fn via(query: Option<&str>) -> Result<Vec<OwnedServerName>, Failure> {
    let names = ["via", "org.matrix.msc4235.via"];
    let named = names.iter().flat_map(|name| parameters(query, name));
    named
        .take(VIA_MAX)
        .map(|name| {
            let parsed = OwnedServerName::try_from(name);
            parsed.map_err(|_| Failure::invalid_param("via is no name of a server"))
        })
        .collect()
}

/// What may not change from page to page, as it stands in tokens.
fn scope(max_depth: Option<UInt>, suggested_only: bool) -> String {
    let kind = if suggested_only { 's' } else { 'a' };
    max_depth.map_or_else(|| kind.to_string(), |depth| format!("{kind}{depth}"))
}

/// The room after which a token goes on.
fn parse(token: &str, scope: &str) -> Result<OwnedRoomId, Failure> {
    let (found, room_id) = token
        .split_once('~')
        .ok_or_else(|| Failure::invalid_param("from is not a token of this list"))?;
    if found != scope {
        return Err(Failure::invalid_param(
            "max_depth and suggested_only may not change from page to page",
        ));
    }
    OwnedRoomId::try_from(room_id)
        .map_err(|_| Failure::invalid_param("from is not a token of this list"))
}

fn chunk(room: SeenRoom) -> Result<SpaceHierarchyRoomsChunk, Failure> {
    let children = room.children.into_iter().map(raw);
    let children = children.collect::<Result<_, _>>()?;
    Ok(SpaceHierarchyRoomsChunk::new(room.summary, children))
}

/// JSON that is written already, as some type.
pub(crate) fn raw<T>(json: Bytes) -> Result<Raw<T>, Failure> {
    let text = String::from_utf8(json.to_vec()).map_err(Failure::internal)?;
    let json = RawValue::from_string(text).map_err(Failure::internal)?;
    Ok(Raw::from_json(json))
}

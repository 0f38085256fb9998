//! `GET /_matrix/client/*/rooms/{roomId}/messages`

use std::sync::Arc;

use playhouse_actors::room::message::{MessagesPage, MessagesQuery};
use ruma::api::{Direction, client::message::get_message_events::v3::Request};

use crate::{
    client::{page, point, query, reader_of_history},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// The most events on a page.
pub(crate) const LIMIT_MAX: u64 = 1_000;

/// Pages through a room's history.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let request: Request = arguments.typed()?;
    let room_id = &request.room_id;
    let parse = |token: &Option<String>| {
        let token = token.as_deref().filter(|token| !token.is_empty());
        token
            .map(|token| point::parse(&app, room_id, token))
            .transpose()
    };
    let wanted = MessagesQuery {
        reader: reader_of_history(&app, &caller, room_id).await?,
        from: parse(&request.from)?,
        to: parse(&request.to)?,
        backwards: request.dir == Direction::Backward,
        limit: u64::from(request.limit).clamp(1, LIMIT_MAX) as usize,
        filter: query::filter(&arguments),
    };
    let history = app.house.messages(room_id, wanted).await?;
    Ok(written(&history))
}

/// The answer.
pub(crate) fn written(history: &MessagesPage) -> RawJson {
    let end = history.end.map(point::of_place);
    let mut answer = page::Object::new()
        .array("chunk", &history.chunk)
        .text("start", &point::of_place(history.start))
        .maybe_text("end", end.as_deref());
    if !history.state.is_empty() {
        answer = answer.array("state", &history.state);
    }
    answer.finish()
}

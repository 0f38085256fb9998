//! Where content comes from: its server, in either way that servers have, or the place to which that one points.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use playhouse_actors::{
    env::Env,
    network::{PeerAnswer, PeerError, PeerMethod, PeerRequest},
};
use tokio::time::Instant;

use super::{
    AROUND_BYTES_MAX, Head, Lost, Piece,
    parts::{Opened, Parts},
};
use crate::outbound::{Fetched, Outbound, Wanted};

/// How content is asked for.
pub(super) struct Asking<'a> {
    pub(super) env: &'a Env,
    pub(super) outbound: &'a Outbound,
    /// Larger content is refused.
    pub(super) bytes_max: u64,
    /// The last byte must be here by then.
    pub(super) deadline: Instant,
}

/// Content that has begun to come.
pub(super) struct Source {
    pub(super) head: Head,
    /// Whoever comes to the end of it without an error has got all of it.
    pub(super) pieces: BoxStream<'static, Result<Bytes, Lost>>,
}

/// Asks for a piece: servers that know nothing of the way with signatures in the old way.
pub(super) async fn open(asking: &Asking<'_>, piece: &Piece) -> Result<Source, Lost> {
    let Piece {
        server_name,
        media_id,
    } = piece;
    let timeout_ms = asking.left().as_millis();
    let path = format!("/_matrix/federation/v1/media/download/{media_id}?timeout_ms={timeout_ms}");
    match asking.ask(piece, path).await {
        Ok(answer) => in_parts(asking, answer).await,
        Err(PeerError::Refused {
            status: 404,
            errcode,
            ..
        }) if errcode == "M_UNRECOGNIZED" => {
            let path = format!(
                "/_matrix/media/v3/download/{server_name}/{media_id}?allow_remote=false&timeout_ms={timeout_ms}"
            );
            let answer = asking.ask(piece, path).await?;
            Ok(Source {
                head: Head::new(
                    answer.content_type,
                    answer.content_disposition,
                    answer.length,
                ),
                pieces: answer.pieces.map_err(Lost::from).boxed(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

impl Asking<'_> {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn ask(&self, piece: &Piece, path: String) -> Result<PeerAnswer, PeerError> {
        let request = PeerRequest {
            destination: piece.server_name.clone(),
            method: PeerMethod::Get,
            path,
            body: None,
            within: self.left(),
            answer_bytes_max: self.bytes_max.saturating_add(AROUND_BYTES_MAX),
        };
        self.env.network.ask_in_pieces(request).await
    }
}

/// Reads an answer of two parts to where its content begins.
async fn in_parts(asking: &Asking<'_>, answer: PeerAnswer) -> Result<Source, Lost> {
    let mut reading = Reading {
        answer: answer.pieces,
        parts: Parts::default(),
        content: Bytes::new(),
    };
    let opened = loop {
        let piece = reading.answer.next().await.ok_or(Lost::Nonsense)?;
        reading.content = reading.parts.take(piece?)?;
        if let Some(opened) = reading.parts.opened() {
            break opened;
        }
    };
    match opened {
        Opened::Here(head) => Ok(Source {
            head,
            pieces: stream::try_unfold(reading, Reading::next).boxed(),
        }),
        Opened::Elsewhere(url) => {
            drop(reading);
            elsewhere(asking, &url).await
        }
    }
}

/// An answer of two parts, in the midst of the second.
struct Reading {
    answer: BoxStream<'static, Result<Bytes, PeerError>>,
    parts: Parts,
    /// What was read already.
    content: Bytes,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Lost> {
        loop {
            let content = std::mem::take(&mut self.content);
            if !content.is_empty() {
                return Ok(Some((content, self)));
            }
            if self.parts.is_ended() {
                return Ok(None);
            }
            let piece = self.answer.next().await.ok_or(Lost::Nonsense)?;
            self.content = self.parts.take(piece?)?;
        }
    }
}

/// Goes where a server says that the content lies. Nothing is signed, and nothing private is reached.
async fn elsewhere(asking: &Asking<'_>, url: &str) -> Result<Source, Lost> {
    let url = asking.outbound.url(url)?;
    let wanted = Wanted {
        accept: "*/*",
        language: None,
        bytes_max: asking.bytes_max,
        deadline: asking.deadline,
    };
    let mut fetched = asking.outbound.get(url, &wanted).await?;
    let length = fetched.length();
    let (content_type, disposition) = (
        fetched.content_type.take(),
        fetched.content_disposition.take(),
    );
    Ok(Source {
        head: Head::new(content_type, disposition, length),
        pieces: stream::try_unfold(fetched, next_fetched).boxed(),
    })
}

async fn next_fetched(mut fetched: Fetched) -> Result<Option<(Bytes, Fetched)>, Lost> {
    let piece = fetched.piece().await?;
    Ok(piece.map(|piece| (piece, fetched)))
}

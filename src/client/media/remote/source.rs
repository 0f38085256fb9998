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
use tokio::time::{Instant, timeout_at};

use super::{
    AROUND_BYTES_MAX, Head, Lost, Piece,
    parts::{Opened, Parts},
};
use crate::outbound::{Fetched, Outbound, Wanted};

/// How long content may take once it has begun to come.
const LIMITS: Limits = Limits {
    pause: Duration::from_secs(20),
    whole: Duration::from_secs(30 * 60),
};

/// How long what comes in pieces may take.
#[derive(Clone, Copy)]
struct Limits {
    /// From one piece to the next.
    pause: Duration,
    /// To the last one: what comes drop by drop ends too.
    whole: Duration,
}

/// How content is asked for.
pub(super) struct Asking<'a> {
    pub(super) env: &'a Env,
    pub(super) outbound: &'a Outbound,
    /// Larger content is refused.
    pub(super) bytes_max: u64,
    /// It must have begun to come by then.
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
    let Source { head, pieces } = begin(asking, piece).await?;
    let pieces = in_time(pieces, LIMITS);
    Ok(Source { head, pieces })
}

/// Ends what stands still, and what has no end.
fn in_time(
    pieces: BoxStream<'static, Result<Bytes, Lost>>,
    limits: Limits,
) -> BoxStream<'static, Result<Bytes, Lost>> {
    let end = Instant::now() + limits.whole;
    let next = move |mut pieces: BoxStream<'static, Result<Bytes, Lost>>| async move {
        let until = end.min(Instant::now() + limits.pause);
        let piece = timeout_at(until, pieces.next()).await;
        let piece = piece.map_err(|_| PeerError::TooSlow)?.transpose()?;
        Ok::<_, Lost>(piece.map(|piece| (piece, pieces)))
    };
    stream::try_unfold(pieces, next).boxed()
}

async fn begin(asking: &Asking<'_>, piece: &Piece) -> Result<Source, Lost> {
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
    let opened = timeout_at(asking.deadline, reading.read_to_content()).await;
    match opened.map_err(|_| PeerError::TooSlow)?? {
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
    async fn read_to_content(&mut self) -> Result<Opened, Lost> {
        loop {
            let piece = self.answer.next().await.ok_or(Lost::Nonsense)?;
            self.content = self.parts.take(piece?)?;
            if let Some(opened) = self.parts.opened() {
                return Ok(opened);
            }
        }
    }

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
    fetched.until(Instant::now() + LIMITS.whole);
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    fn piece() -> Result<Bytes, Lost> {
        Ok(Bytes::from_static(b"x"))
    }

    async fn taken(
        pieces: BoxStream<'static, Result<Bytes, Lost>>,
        (pause, whole): (Duration, Duration),
    ) -> (usize, Option<Lost>) {
        let mut pieces = in_time(pieces, Limits { pause, whole });
        let mut count = 0;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(_) => count += 1,
                Err(lost) => return (count, Some(lost)),
            }
        }
        (count, None)
    }

    #[tokio::test]
    async fn what_comes_at_all_comes_as_a_whole() {
        let slow = stream::iter(0..5).then(|_| async {
            tokio::time::sleep(SHORT).await;
            piece()
        });
        let (count, lost) = taken(slow.boxed(), (LONG, LONG)).await;
        assert!(count == 5 && lost.is_none(), "{count}, {lost:?}");
        let broken = stream::iter([piece(), Err(Lost::Nonsense)]).boxed();
        let (count, lost) = taken(broken, (LONG, LONG)).await;
        assert!(count == 1 && matches!(lost, Some(Lost::Nonsense)));
    }

    #[tokio::test]
    async fn what_stands_still_ends() {
        let still = stream::iter([piece()]).chain(stream::pending()).boxed();
        let (count, lost) = taken(still, (SHORT, LONG)).await;
        assert_eq!(count, 1);
        assert!(matches!(lost, Some(Lost::Peer(PeerError::TooSlow))));
    }

    #[tokio::test]
    async fn what_drips_ends() {
        let dripping = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            piece()
        });
        let (_, lost) = taken(dripping.boxed(), (LONG, SHORT)).await;
        assert!(matches!(lost, Some(Lost::Peer(PeerError::TooSlow))));
    }
}

//! What a played server answers by a test's own rules: whatever a hostile or sick server may.

use std::{io, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::watch,
};

/// An endless answer ends here, in case that nobody hangs up.
const ENDLESS_BYTES_MAX: usize = 2 << 30;

/// A dripping answer ends here.
const DRIPS_MAX: usize = 6_000;

/// A request to a played server.
pub(crate) struct Asked<'a> {
    /// Which server is asked.
    pub(crate) name: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// The body, as far as it is JSON.
    pub(crate) body: &'a Value,
}

/// An answer.
pub(crate) enum Reply {
    /// Status and JSON.
    Json(u16, Value),
    /// 200 with this content type and these bytes.
    Bytes(&'static str, Vec<u8>),
    /// 200 with this JSON, as soon as this is true.
    Late(watch::Receiver<bool>, Vec<u8>),
    /// 200 with what comes piece by piece.
    Pieces(Pieces),
    /// Says that there are so many bytes, and never sends them.
    Announced(u64),
    /// Begins like JSON and never ends, as fast as the line takes it.
    Endless,
    /// Begins like JSON and comes byte by byte.
    Drip,
    /// Never anything.
    Silence,
}

/// A body that comes piece by piece.
pub(crate) struct Pieces {
    /// The `Content-Type` header.
    pub(crate) content_type: &'static str,
    /// The length that is told, if any.
    pub(crate) length: Option<usize>,
    /// The pieces.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// So many of them may be sent by now.
    pub(crate) allowed: watch::Receiver<usize>,
    /// Whether the connection breaks off in place of the end.
    pub(crate) breaks_off: bool,
}

/// A test's own rules; `None` for the usual answer.
pub(crate) type Script = Arc<dyn Fn(&Asked<'_>) -> Option<Reply> + Send + Sync>;

/// Writes an answer.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin + Send),
    reply: Reply,
) -> io::Result<()> {
    match reply {
        Reply::Json(status, body) => {
            let body = body.to_string();
            whole(stream, (status, "application/json"), body.as_bytes()).await
        }
        Reply::Bytes(content_type, body) => whole(stream, (200, content_type), &body).await,
        Reply::Late(mut is_time, body) => {
            // Who would say so may be gone.
            let _ = is_time.wait_for(|is_time| *is_time).await;
            whole(stream, (200, "application/json"), &body).await
        }
        Reply::Pieces(body) => pieces(stream, body).await,
        Reply::Announced(length) => {
            let head = format!("content-length: {length}");
            begin(stream, "application/json", &head).await?;
            silence().await
        }
        Reply::Endless => endless(stream).await,
        Reply::Drip => drip(stream).await,
        Reply::Silence => silence().await,
    }
}

async fn whole(
    stream: &mut (impl AsyncWrite + Unpin + Send),
    (status, content_type): (u16, &str),
    body: &[u8],
) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

async fn begin(
    stream: &mut (impl AsyncWrite + Unpin + Send),
    content_type: &str,
    length: &str,
) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 x\r\ncontent-type: {content_type}\r\n{length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

async fn pieces(stream: &mut (impl AsyncWrite + Unpin + Send), mut body: Pieces) -> io::Result<()> {
    let length = match body.length {
        Some(length) => format!("content-length: {length}"),
        None => "transfer-encoding: chunked".to_owned(),
    };
    begin(stream, body.content_type, &length).await?;
    for (index, piece) in body.pieces.iter().enumerate() {
        let allowed = body.allowed.wait_for(|allowed| *allowed > index);
        // Nobody can allow it any more.
        if allowed.await.map(drop).is_err() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if body.length.is_none() {
            let size = format!("{:x}\r\n", piece.len());
            stream.write_all(size.as_bytes()).await?;
        }
        stream.write_all(piece).await?;
        if body.length.is_none() {
            stream.write_all(b"\r\n").await?;
        }
        stream.flush().await?;
    }
    if body.breaks_off {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    if body.length.is_none() {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    stream.flush().await
}

async fn endless(stream: &mut (impl AsyncWrite + Unpin + Send)) -> io::Result<()> {
    begin(stream, "application/json", "transfer-encoding: chunked").await?;
    stream.write_all(b"8\r\n{\"pdus\":\r\n").await?;
    let mut piece = b"10000\r\n".to_vec();
    piece.resize(piece.len() + 0x1_0000, b' ');
    piece.extend(b"\r\n");
    for _ in 0..ENDLESS_BYTES_MAX / 0x1_0000 {
        stream.write_all(&piece).await?;
    }
    Ok(())
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin + Send)) -> io::Result<()> {
    begin(stream, "application/json", "content-length: 1000000").await?;
    stream.write_all(b"{").await?;
    for _ in 0..DRIPS_MAX {
        stream.write_all(b" ").await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The connection stays open until the other side, or the test, has enough.
async fn silence() -> io::Result<()> {
    std::future::pending().await
}

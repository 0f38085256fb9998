//! Media of other servers: fetched when somebody wants it, then kept and given out like media of this one.
//!
//! What is fetched is held in memory on its way, so only a few pieces come at once; who wants the same piece waits for the one fetch.

use std::time::Duration;

use bytes::Bytes;
use playhouse_actors::{
    house::HouseError,
    media::{MediaAnswer, MediaCommand, MediaError, MediaQuery, message::Uploaded},
    network::{PeerError, PeerMethod, PeerRequest},
};
use ruma::{UserId, api::error::ErrorCode, http_headers::ContentDisposition};

use super::serve::{Wanted, note_use};
use crate::{
    edge::{App, Failure},
    media::Shelf,
};

/// A server has at least so long to give what it has: pictures of some size come from far away.
const WITHIN_MIN: Duration = Duration::from_secs(20);

/// And at most so long.
const WITHIN_MAX: Duration = Duration::from_secs(60);

/// An answer is so much larger than its content at most.
const AROUND_BYTES_MAX: u64 = 64 * 1024;

/// A type, or a name, has at most so many bytes.
const TEXT_BYTES_MAX: usize = 255;

/// A piece of media as another server gives it.
#[derive(Debug, PartialEq, Eq)]
struct Given {
    content_type: Option<String>,
    file_name: Option<String>,
    content: Bytes,
}

/// What is known of a piece of another server's media; it is fetched if it has to be.
pub(super) async fn find(app: &App, wanted: &Wanted<'_>) -> Result<Uploaded, Failure> {
    let name = format!("{}/{}", wanted.server_name, wanted.media_id);
    if !is_media_id(wanted.media_id) {
        return Err(Failure::not_found("unknown media"));
    }
    if let Some(kept) = kept(app, &name).await? {
        return Ok(kept);
    }
    // Whoever wants the same piece waits here, and then finds it.
    let piece = UserId::parse(format!("@{}:{}", wanted.media_id, wanted.server_name));
    let piece = piece.map_err(|_| Failure::not_found("unknown media"))?;
    let _turn = app.fetches.of(&piece).await;
    if let Some(kept) = kept(app, &name).await? {
        return Ok(kept);
    }
    let _place = app
        .fetches_at_once
        .acquire()
        .await
        .map_err(Failure::internal)?;
    let given = fetch(app, wanted).await?;
    keep(app, wanted, &name, given).await
}

/// The characters that addresses of media may have (client-server API, "Matrix Content URI").
fn is_media_id(media_id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=200).contains(&media_id.len()) && media_id.bytes().all(fits)
}

async fn kept(app: &App, name: &str) -> Result<Option<Uploaded>, Failure> {
    match app.house.media_query(name, MediaQuery::Describe).await {
        Ok(MediaAnswer::There { uploaded, used_ms }) => {
            note_use(app, name, used_ms);
            Ok(Some(uploaded))
        }
        Ok(MediaAnswer::Awaited(_) | MediaAnswer::Facts(_)) | Err(MediaError::Unknown) => Ok(None),
        Err(error) => Err(HouseError::from(error).into()),
    }
}

async fn fetch(app: &App, wanted: &Wanted<'_>) -> Result<Given, Failure> {
    let within = wanted.timeout.clamp(WITHIN_MIN, WITHIN_MAX);
    let ask = |path: String| {
        app.env().network.ask(PeerRequest {
            destination: wanted.server_name.to_owned(),
            method: PeerMethod::Get,
            path,
            body: None,
            within,
            answer_bytes_max: app.blobs.size_bytes_max() + AROUND_BYTES_MAX,
        })
    };
    let media_id = wanted.media_id;
    let timeout_ms = within.as_millis();
    let path = format!("/_matrix/federation/v1/media/download/{media_id}?timeout_ms={timeout_ms}");
    match ask(path).await {
        Ok(answer) => parts(&answer).ok_or_else(|| {
            Failure::new(
                ErrorCode::ConnectionFailed,
                "the media's server answers with nonsense",
            )
        }),
        Err(PeerError::Refused {
            status: 404,
            errcode,
            ..
        }) if errcode == "M_UNRECOGNIZED" => {
            let server_name = wanted.server_name;
            let path = format!(
                "/_matrix/media/v3/download/{server_name}/{media_id}?allow_remote=false&timeout_ms={timeout_ms}"
            );
            let content = ask(path).await.map_err(failure)?;
            Ok(Given {
                content_type: looks_like(&content).map(str::to_owned),
                file_name: None,
                content,
            })
        }
        Err(error) => Err(failure(error)),
    }
}

/// First the bytes, then the record that names them, as with uploads.
async fn keep(
    app: &App,
    wanted: &Wanted<'_>,
    name: &str,
    given: Given,
) -> Result<Uploaded, Failure> {
    let mut upload = app.blobs.begin(Shelf::Uploads);
    upload.write(given.content).await?;
    let blob = upload.finish().await?;
    let uploaded = Uploaded {
        // Nobody here: it counts against no quota.
        user_id: format!("@:{}", wanted.server_name),
        sha256: blob.sha256,
        size_bytes: blob.size_bytes,
        content_type: given.content_type,
        file_name: given.file_name,
        at_ms: app.env().now_ms(),
    };
    let command = MediaCommand::Complete(uploaded.clone());
    let kept = app.house.media_command(name, command).await;
    kept.map_err(HouseError::from)?;
    Ok(uploaded)
}

/// What is told of a server that gives nothing.
fn failure(error: PeerError) -> Failure {
    match error {
        PeerError::Off | PeerError::Denied | PeerError::Barred => {
            Failure::not_found("the media's server is not asked")
        }
        PeerError::Refused { status: 504, .. } => {
            Failure::new(ErrorCode::NotYetUploaded, "the content is not there yet")
        }
        PeerError::Refused { status, .. } if (400..500).contains(&status) && status != 429 => {
            Failure::not_found("the media's server does not give it")
        }
        PeerError::TooSlow => Failure::new(
            ErrorCode::ConnectionTimeout,
            "the media's server does not answer in time",
        ),
        PeerError::TooLarge => {
            Failure::new(ErrorCode::TooLarge, "this media is too large").with_status(502)
        }
        PeerError::Unreachable(_) | PeerError::Nonsense(_) | PeerError::Refused { .. } => {
            Failure::new(
                ErrorCode::ConnectionFailed,
                "the media's server cannot be reached",
            )
        }
    }
}

fn find_bytes(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|seen| seen == wanted)
}

fn find_last(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).rposition(|seen| seen == wanted)
}

/// The second of the two parts of an answer: the first one says nothing yet. `None` for what is none, and for content that lies somewhere else.
fn parts(answer: &Bytes) -> Option<Given> {
    // Whatever comes before the first delimiter means nothing; the delimiter itself is short.
    let start = if answer.starts_with(b"\r\n") { 2 } else { 0 };
    let line = find_bytes(answer.get(start..answer.len().min(start + 128))?, b"\r\n")?;
    let delimiter = answer.slice(start..start + line);
    if !delimiter.starts_with(b"--") || delimiter.len() < 3 {
        return None;
    }
    let between = [b"\r\n", &*delimiter].concat();
    let rest = answer.slice(start + line..);
    let near = &rest[..rest.len().min(AROUND_BYTES_MAX as usize)];
    let second = find_bytes(near.get(2..)?, &between)? + 2 + between.len();
    let part = rest.slice(second..);
    let part = part.slice(find_bytes(&part[..part.len().min(16)], b"\r\n")? + 2..);
    let near = &part[..part.len().min(AROUND_BYTES_MAX as usize)];
    let (head, content) = if near.starts_with(b"\r\n") {
        (&near[..0], 2)
    } else {
        let head = find_bytes(near, b"\r\n\r\n")?;
        (&near[..head], head + 4)
    };
    let end = find_last(&part, &between).filter(|end| *end + 2 >= content)?;
    let mut given = Given {
        content_type: None,
        file_name: None,
        content: part.slice(content..end.max(content)),
    };
    let lines = std::str::from_utf8(head).ok()?.split("\r\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("location") {
            return None;
        }
        if name.eq_ignore_ascii_case("content-type") {
            given.content_type = Some(value.to_owned()).filter(|text| text.len() <= TEXT_BYTES_MAX);
        }
        if name.eq_ignore_ascii_case("content-disposition") {
            let told = ContentDisposition::try_from(value.as_bytes()).ok();
            let name = told.and_then(|told| told.filename);
            given.file_name = name.filter(|name| name.len() <= TEXT_BYTES_MAX);
        }
    }
    Some(given)
}

/// What pictures begin with, for servers that do not say in a way that reaches us.
fn looks_like(content: &[u8]) -> Option<&'static str> {
    match content {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(answer: &str) -> Option<Given> {
        parts(&Bytes::copy_from_slice(answer.as_bytes()))
    }

    #[test]
    fn the_second_part_is_the_content() {
        let answer = "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x\r\n\
            Content-Type: text/plain\r\nContent-Disposition: inline; filename=\"a b.txt\"\r\n\r\nhello\r\n--y\r\n--x--\r\n";
        let found = given(answer).expect("two parts");
        assert_eq!(&*found.content, b"hello\r\n--y");
        assert_eq!(found.content_type.as_deref(), Some("text/plain"));
        assert_eq!(found.file_name.as_deref(), Some("a b.txt"));
        let bare = "\r\n--x\r\n\r\n{}\r\n--x\r\n\r\nhello\r\n--x--";
        assert_eq!(&*given(bare).expect("two parts").content, b"hello");
        let empty = "--x\r\n\r\n{}\r\n--x\r\nA: b\r\n\r\n\r\n--x--";
        assert_eq!(&*given(empty).expect("two parts").content, b"");
    }

    #[test]
    fn nonsense_is_none() {
        for answer in [
            "",
            "\r\n",
            "--\r\n\r\n",
            "hello",
            "--x",
            "--x\r\n",
            "--x\r\n\r\n{}\r\n--x--",
            "--x\r\n\r\n{}\r\n--x\r\n",
            "--x\r\n\r\n{}\r\n--x\r\nhello",
            "--x\r\n\r\n{}\r\n--x\r\nA: b\r\n\r\nhello",
            "--x\r\n\r\n{}\r\n--x\r\nLocation: https://elsewhere\r\n\r\n\r\n--x--",
        ] {
            assert_eq!(given(answer), None, "{answer:?}");
        }
        assert!(is_media_id("aZ0-_"));
        assert!(!is_media_id("") && !is_media_id("a/b") && !is_media_id("é"));
    }
}

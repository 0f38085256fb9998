//! A small HTTP/1.1 client: one request at a time on each connection, connections kept open, bodies handed over unread.
//!
//! Written for this tool alone, so that the tool takes as little as possible of the machine that it measures. Plain HTTP, bodies by length or in chunks.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::trouble::{Outcome, Trouble};

/// An answer that takes longer is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(150);

/// Servers close connections that rest; one that rested so long is not used again.
const REST_MAX: Duration = Duration::from_secs(3);

/// Heads of answers are at most so large.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A request without its target.
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'a [u8],
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The connections to one server.
pub(crate) struct Client {
    authority: RefCell<String>,
    resting: RefCell<Vec<(Connection, Instant)>>,
    received_bytes: Cell<u64>,
}

struct Connection {
    stream: TcpStream,
    /// Read, but not yet taken.
    buffer: Vec<u8>,
}

struct Head {
    status: u16,
    length: Option<usize>,
    is_chunked: bool,
    closes: bool,
}

impl Client {
    /// A client of the server at `http://HOST:PORT`.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            authority: RefCell::new(authority(url)),
            resting: RefCell::default(),
            received_bytes: Cell::new(0),
        }
    }

    /// The server has moved.
    pub(crate) fn redirect(&self, url: &str) {
        *self.authority.borrow_mut() = authority(url);
        self.forget();
    }

    /// Closes what rests.
    pub(crate) fn forget(&self) {
        self.resting.borrow_mut().clear();
    }

    /// Bytes of all bodies so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes.get()
    }

    /// Asks, and waits for the whole answer, whatever its status.
    pub(crate) async fn ask(&self, call: &Call<'_>) -> Outcome<Answer> {
        let request = self.request(call);
        tokio::time::timeout(ANSWER_WITHIN, self.exchange(&request))
            .await
            .map_err(|_| Trouble::Timeout)?
    }

    fn request(&self, call: &Call<'_>) -> Vec<u8> {
        let mut request = Vec::with_capacity(512 + call.body.len());
        let mut put = |parts: &[&str]| {
            for part in parts {
                request.extend_from_slice(part.as_bytes());
            }
        };
        let authority = self.authority.borrow();
        put(&[call.method, " ", call.path, " HTTP/1.1\r\nHost: "]);
        put(&[&authority, "\r\n"]);
        if let Some(token) = call.token {
            put(&["Authorization: Bearer ", token, "\r\n"]);
        }
        if call.method != "GET" {
            put(&["Content-Type: ", call.content_type, "\r\nContent-Length: "]);
            put(&[&call.body.len().to_string(), "\r\n"]);
        }
        put(&["\r\n"]);
        request.extend_from_slice(call.body);
        request
    }

    async fn exchange(&self, request: &[u8]) -> Outcome<Answer> {
        while let Some(connection) = self.rested() {
            match self.talk(connection, request).await {
                // Closed while it rested: the server has read nothing of the request.
                Err(Trouble::Closed) => {}
                other => return other,
            }
        }
        let authority = self.authority.borrow().clone();
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(16 << 10);
        self.talk(Connection { stream, buffer }, request).await
    }

    fn rested(&self) -> Option<Connection> {
        let mut resting = self.resting.borrow_mut();
        let (connection, since) = resting.pop()?;
        if since.elapsed() < REST_MAX {
            return Some(connection);
        }
        // The last one in rested least.
        resting.clear();
        None
    }

    async fn talk(&self, mut connection: Connection, request: &[u8]) -> Outcome<Answer> {
        if connection.stream.write_all(request).await.is_err() {
            return Err(Trouble::Closed);
        }
        let head = connection.head().await?;
        let body = match head.length {
            _ if head.is_chunked => connection.chunks().await?,
            Some(length) => connection.take(length).await?,
            None if head.status == 204 => Vec::new(),
            None => return Err(Trouble::Surprise("an answer without a length".to_owned())),
        };
        self.received_bytes
            .set(self.received_bytes.get() + body.len() as u64);
        if !head.closes {
            self.resting.borrow_mut().push((connection, Instant::now()));
        }
        Ok(Answer {
            status: head.status,
            body,
        })
    }
}

impl Connection {
    async fn fill(&mut self) -> Outcome<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Trouble::Broken("the answer ended early".to_owned()));
        }
        Ok(())
    }

    async fn head(&mut self) -> Outcome<Head> {
        let mut searched = 0;
        loop {
            let from = searched.min(self.buffer.len()).saturating_sub(3);
            let end = find(&self.buffer[from..], b"\r\n\r\n");
            if let Some(end) = end {
                let end = from + end;
                let head = read_head(&self.buffer[..end])?;
                self.buffer.drain(..end + 4);
                return Ok(head);
            }
            searched = self.buffer.len();
            if searched > HEAD_BYTES_MAX {
                return Err(Trouble::Surprise("an endless head".to_owned()));
            }
            let filled = self.fill().await;
            if searched == 0 && filled.is_err() {
                return Err(Trouble::Closed);
            }
            filled?;
        }
    }

    async fn take(&mut self, length: usize) -> Outcome<Vec<u8>> {
        self.buffer
            .reserve(length.saturating_sub(self.buffer.len()));
        while self.buffer.len() < length {
            self.fill().await?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn line(&mut self) -> Outcome<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let mut line = self.take(end + 2).await?;
                line.truncate(end);
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self) -> Outcome<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let length = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
                .ok_or_else(|| Trouble::Surprise("a chunk without a length".to_owned()))?;
            if length == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            body.append(&mut self.take(length).await?);
            self.line().await?;
        }
    }
}

fn authority(url: &str) -> String {
    url.trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned()
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}

fn read_head(head: &[u8]) -> Outcome<Head> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| Trouble::Surprise("not HTTP".to_owned()))?;
    let mut read = Head {
        status,
        length: None,
        is_chunked: false,
        closes: false,
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            read.length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            read.is_chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            read.closes = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(read)
}

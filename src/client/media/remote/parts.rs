//! The two parts of an answer that carries media (server-server API, "Content Repository"), taken apart as they come.

use bytes::Bytes;

use super::{Head, Lost};

/// All that comes before the content has so many bytes at most.
const AROUND_BYTES_MAX: usize = super::AROUND_BYTES_MAX as usize;

/// A delimiter has so many bytes at most.
const DELIMITER_BYTES_MAX: usize = 128;

/// What is told of the content, or of where it lies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// The content follows.
    Here(Head),
    /// It can be had from this address.
    Elsewhere(String),
}

/// How far an answer was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// To the first delimiter.
    #[default]
    Delimiter,
    /// Into the first part, which says nothing yet.
    First,
    /// To the headers of the second part.
    Head,
    /// Into the content.
    Content,
    /// To the end of it.
    Ended,
}

/// An answer on its way in.
#[derive(Default)]
pub(super) struct Parts {
    stage: Stage,
    /// What came and is not understood yet.
    held: Vec<u8>,
    /// So much of it need not be looked at again.
    searched: usize,
    /// So much came before the content.
    around: usize,
    /// What stands between two parts, with its line break.
    between: Vec<u8>,
    /// So much of what is held belongs to the headers: their last line break may be that of a delimiter.
    skipped: usize,
    opened: Option<Opened>,
}

impl Parts {
    /// Takes the next piece of the answer and gives what of the content is in it.
    pub(super) fn take(&mut self, piece: Bytes) -> Result<Bytes, Lost> {
        match self.stage {
            Stage::Ended => return Ok(Bytes::new()),
            Stage::Content => return Ok(self.content(piece)),
            Stage::Delimiter | Stage::First | Stage::Head => {}
        }
        self.held.extend_from_slice(&piece);
        while self.step()? {}
        let is_open = self.stage == Stage::Content;
        let waiting = if is_open { 0 } else { self.held.len() };
        if self.around + waiting > AROUND_BYTES_MAX {
            return Err(Lost::Nonsense);
        }
        if !is_open {
            return Ok(Bytes::new());
        }
        let begun = std::mem::take(&mut self.held);
        Ok(self.content(Bytes::from(begun)))
    }

    /// What was told before the content, once, as soon as it is there.
    pub(super) fn opened(&mut self) -> Option<Opened> {
        self.opened.take()
    }

    /// Whether all of the content has come.
    pub(super) fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Reads on. Nothing more can be read when this is false.
    fn step(&mut self) -> Result<bool, Lost> {
        match self.stage {
            Stage::Delimiter => self.read_delimiter(),
            Stage::First => {
                let between = self.between.clone();
                let Some(at) = self.find(&between) else {
                    return Ok(false);
                };
                self.drop_held(at + between.len());
                self.stage = Stage::Head;
                Ok(true)
            }
            Stage::Head => {
                let Some(at) = self.find(b"\r\n\r\n") else {
                    return Ok(false);
                };
                let opened = read_head(&self.held[..at])?;
                self.opened = Some(opened);
                self.drop_held(at + 2);
                self.skipped = 2;
                self.stage = Stage::Content;
                Ok(true)
            }
            Stage::Content | Stage::Ended => Ok(false),
        }
    }

    /// Whatever comes before the first delimiter means nothing; the delimiter itself is short.
    fn read_delimiter(&mut self) -> Result<bool, Lost> {
        let start = if self.held.starts_with(b"\r\n") { 2 } else { 0 };
        let rest = &self.held[start..];
        let Some(end) = position(rest, b"\r\n").filter(|end| *end <= DELIMITER_BYTES_MAX) else {
            return if rest.len() > DELIMITER_BYTES_MAX {
                Err(Lost::Nonsense)
            } else {
                Ok(false)
            };
        };
        let delimiter = rest[..end].trim_ascii_end();
        if !delimiter.starts_with(b"--") || delimiter.len() < 3 {
            return Err(Lost::Nonsense);
        }
        self.between = [&b"\r\n"[..], delimiter].concat();
        self.drop_held(start + end + 2);
        self.stage = Stage::First;
        Ok(true)
    }

    fn find(&mut self, wanted: &[u8]) -> Option<usize> {
        let from = self.searched.saturating_sub(wanted.len() - 1);
        let found = position(&self.held[from..], wanted);
        self.searched = self.held.len();
        found.map(|at| from + at)
    }

    fn drop_held(&mut self, bytes: usize) {
        self.held.drain(..bytes);
        self.around += bytes;
        self.searched = 0;
    }

    /// What of a piece is content. What may be the beginning of a delimiter is held until the next one.
    fn content(&mut self, piece: Bytes) -> Bytes {
        let piece = if self.held.is_empty() {
            piece
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(&piece);
            Bytes::from(joined)
        };
        let mut from = 0;
        let end = loop {
            let Some(at) = piece[from..].iter().position(|byte| *byte == b'\r') else {
                break piece.len();
            };
            let at = from + at;
            match self.is_delimiter(&piece[at..]) {
                Some(false) => from = at + 1,
                Some(true) => {
                    self.stage = Stage::Ended;
                    break at;
                }
                None => {
                    self.held = piece[at..].to_vec();
                    break at;
                }
            }
        };
        let skipped = self.skipped.min(end);
        self.skipped -= skipped;
        piece.slice(skipped..end)
    }

    /// Whether the content ends here; `None` when too little has come to say.
    fn is_delimiter(&self, text: &[u8]) -> Option<bool> {
        let Some(after) = text.strip_prefix(&self.between[..]) else {
            let may_become_one = self.between.starts_with(text);
            return (!may_become_one).then_some(false);
        };
        match after {
            [] | [b'-'] => None,
            [b'-', b'-', ..] | [b'\r' | b' ' | b'\t', ..] => Some(true),
            _ => Some(false),
        }
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|seen| seen == wanted)
}

/// The headers of the second part, with what is left of the line of the delimiter before them.
fn read_head(text: &[u8]) -> Result<Opened, Lost> {
    let text = std::str::from_utf8(text).map_err(|_| Lost::Nonsense)?;
    let (line, headers) = text.split_once("\r\n").unwrap_or((text, ""));
    if !line.trim().is_empty() {
        return Err(Lost::Nonsense);
    }
    let (mut content_type, mut disposition) = (None, None);
    let mut location = None;
    for header in headers.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = header.split_once(':').ok_or(Lost::Nonsense)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-type" => content_type = Some(value.to_owned()),
            "content-disposition" => disposition = Some(value.to_owned()),
            "location" => location = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(match location {
        Some(location) => Opened::Elsewhere(location),
        // The delimiter is the end, whatever length the headers tell.
        None => Opened::Here(Head::new(content_type, disposition, None)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes an answer in pieces of this size.
    fn read(answer: &str, size: usize) -> Option<(Opened, Vec<u8>)> {
        let (mut parts, mut opened, mut content) = (Parts::default(), None, Vec::new());
        for piece in answer.as_bytes().chunks(size) {
            let brought = parts.take(Bytes::copy_from_slice(piece)).ok()?;
            opened = parts.opened().or(opened);
            content.extend_from_slice(&brought);
        }
        parts.is_ended().then_some((opened?, content))
    }

    fn all_sizes(answer: &str) -> Option<(Opened, Vec<u8>)> {
        let whole = read(answer, answer.len().max(1));
        for size in 1..answer.len() {
            assert_eq!(read(answer, size), whole, "{answer:?} in pieces of {size}");
        }
        whole
    }

    #[test]
    fn the_second_part_is_the_content() {
        let answer = "--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x\r\n\
            Content-Type: text/plain\r\nContent-Disposition: inline; filename=\"a b.txt\"\r\ncontent-length: 5\r\n\r\n\
            hello\r\n--y\r\r\n--xy\r\n--x--\r\n";
        let (opened, content) = all_sizes(answer).expect("two parts");
        assert_eq!(&*content, b"hello\r\n--y\r\r\n--xy");
        let wanted = Head {
            content_type: Some("text/plain".to_owned()),
            file_name: Some("a b.txt".to_owned()),
            length: None,
        };
        assert_eq!(opened, Opened::Here(wanted));
        for (answer, wanted) in [
            ("\r\n--x\r\n\r\n{}\r\n--x\r\n\r\nhello\r\n--x--", "hello"),
            ("--x\r\n\r\n{}\r\n--x\r\nA: b\r\n\r\n\r\n--x--", ""),
            ("--x\r\n\r\n{}\r\n--x\r\nA: b\r\n\r\n--x--", ""),
            ("--x \r\n\r\n{}\r\n--x \r\n\r\n\r\n\r\n--x \r\n", "\r\n"),
            ("--x\r\n\r\n{}\r\n--x\r\n\r\n\r\n\r\n\r\n--x--", "\r\n\r\n"),
        ] {
            let (opened, content) = all_sizes(answer).expect("two parts");
            assert_eq!(
                (opened, &*content),
                (Opened::Here(Head::default()), wanted.as_bytes())
            );
        }
    }

    #[test]
    fn content_may_lie_elsewhere() {
        let answer = "--x\r\n\r\n{}\r\n--x\r\nLocation: https://elsewhere/a:b\r\n\r\n\r\n--x--";
        let (opened, _) = all_sizes(answer).expect("two parts");
        assert_eq!(
            opened,
            Opened::Elsewhere("https://elsewhere/a:b".to_owned())
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let long = format!("--x\r\n\r\n{}\r\n--x\r\n\r\n\r\n--x--", " ".repeat(70_000));
        let many = format!(
            "--x\r\n\r\n{{}}\r\n--x\r\n{}\r\n\r\n--x--",
            "A: b\r\n".repeat(12_000)
        );
        let delimiter = format!("--{}\r\n", "x".repeat(200));
        for answer in [
            "",
            "\r\n",
            "--\r\n\r\n",
            "hello",
            "--x",
            "--x\r\n",
            "--x\r\n\r\n{}\r\n--x--",
            "--x\r\n\r\n{}\r\n--x--\r\n\r\n",
            "--x\r\n\r\n{}\r\n--x\r\n",
            "--x\r\n\r\n{}\r\n--x\r\nhello",
            "--x\r\n\r\n{}\r\n--x\r\nhello\r\n\r\n",
            "--x\r\n\r\n{}\r\n--x\r\nA: b\r\n\r\nhello",
            "--x\r\n\r\n{}\r\n--x\r\nA: b\r\n\r\nhello\r\n--x",
            "--x\r\n\r\n{}\r\n--x\r\nA: b\r\n\r\nhello\r\n--x-",
            delimiter.as_str(),
        ] {
            assert_eq!(all_sizes(answer), None, "{answer:?}");
        }
        for answer in [long, many] {
            assert_eq!(read(&answer, answer.len()), None);
            assert_eq!(read(&answer, 1_000), None);
        }
    }
}

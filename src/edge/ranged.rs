//! Parts of files (RFC 9110, "Range Requests"): one range at a time, as players and resumed downloads ask for it.

use std::ops::Range;

use actix_web::http::{Version, header};
use ruma::api::auth_scheme::AuthScheme;

use super::{
    caller::{Caller, Session},
    failure::Failure,
    incoming::Incoming,
};

/// A caller who may have asked for a part only.
#[derive(Clone, Debug)]
pub(crate) struct Ranged<C> {
    /// Who asks.
    pub(crate) caller: C,
    /// For which part.
    pub(crate) range: Option<AskedRange>,
    /// Whether the caller can tell the end of a body of unknown length from one that breaks off: not in HTTP/1.0, which some proxies speak.
    pub(crate) sees_ends: bool,
}

/// A part of something whose length the caller need not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedRange {
    part: Part,
    /// Only while the content is this one.
    condition: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// From a byte to another, which is part of it.
    Between(u64, u64),
    /// From a byte to the end.
    From(u64),
    /// So many bytes at the end.
    Last(u64),
}

impl AskedRange {
    /// Which bytes are meant: of content of this length, known by this tag. Nothing when the whole is to be sent; an error when there are no such bytes.
    pub(crate) fn of(&self, size: u64, tag: &str) -> Result<Option<Range<u64>>, Unsatisfiable> {
        if self.condition.as_deref().is_some_and(|known| known != tag) {
            return Ok(None);
        }
        let range = match self.part {
            Part::Between(first, last) => first..last.saturating_add(1).min(size),
            Part::From(first) => first..size,
            Part::Last(length) => size.saturating_sub(length)..size,
        };
        if range.is_empty() {
            return Err(Unsatisfiable);
        }
        Ok(Some(range))
    }
}

/// There are no such bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsatisfiable;

/// Reads the header. What is no single range of bytes is ignored, as the specification allows.
fn parse(text: &str) -> Option<Part> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => last.parse().ok().map(Part::Last),
        (first, "") => first.parse().ok().map(Part::From),
        (first, last) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some(Part::Between(first, last))
        }
    }
}

impl<A: AuthScheme, C: Caller<A>> Caller<A> for Ranged<C> {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        let part = incoming.header(header::RANGE).and_then(parse);
        Ok(Self {
            caller: C::identify(incoming).await?,
            range: part.map(|part| AskedRange {
                part,
                condition: incoming.header(header::IF_RANGE).map(ToOwned::to_owned),
            }),
            sees_ends: incoming.request.version() >= Version::HTTP_11,
        })
    }

    fn session(&self) -> Option<&Session> {
        self.caller.session()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<AskedRange> {
        parse(text).map(|part| AskedRange {
            part,
            condition: None,
        })
    }

    #[test]
    fn one_range_of_bytes() {
        for (text, wanted) in [
            ("bytes=0-0", Ok(Some(0..1))),
            ("bytes=2-5", Ok(Some(2..6))),
            ("bytes=2-500", Ok(Some(2..10))),
            ("bytes=9-", Ok(Some(9..10))),
            ("bytes=-3", Ok(Some(7..10))),
            ("bytes=-300", Ok(Some(0..10))),
            ("bytes=10-", Err(Unsatisfiable)),
            ("bytes=-0", Err(Unsatisfiable)),
            ("bytes=0-18446744073709551615", Ok(Some(0..10))),
        ] {
            assert_eq!(asked(text).unwrap().of(10, "x"), wanted, "{text}");
        }
        for text in [
            "bytes=5-2",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=",
            "bytes=a-b",
            "",
        ] {
            assert_eq!(asked(text), None, "{text}");
        }
        let mut range = asked("bytes=0-1").unwrap();
        range.condition = Some("y".to_owned());
        assert_eq!(range.of(10, "x"), Ok(None));
    }
}

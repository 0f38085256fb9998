//! Pages of lists, as nearly all lists of this API are asked for.

use crate::edge::Failure;

/// A page has so many entries, unless it is said.
const LIMIT: u64 = 100;

/// And never more than these.
const LIMIT_MAX: u64 = 1_000;

/// A page: after so many, at most so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) limit: u64,
}

impl Span {
    /// As it is asked for.
    pub(super) fn of(from: Option<u64>, limit: Option<u64>) -> Self {
        Self {
            from: from.unwrap_or(0),
            limit: limit.unwrap_or(LIMIT).min(LIMIT_MAX),
        }
    }

    /// Where to go on after a page with so many entries; `None` behind the last of all.
    pub(super) fn next(self, told: usize, total: u64) -> Option<u64> {
        let next = self.from.saturating_add(told as u64);
        (next < total && told > 0).then_some(next)
    }
}

/// Whether a list is wanted backwards.
pub(super) fn is_backwards(dir: Option<&str>, otherwise: bool) -> Result<bool, Failure> {
    match dir {
        None => Ok(otherwise),
        Some("f") => Ok(false),
        Some("b") => Ok(true),
        Some(_) => Err(Failure::invalid_param("dir is neither f nor b")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_the_list_does() {
        let span = Span::of(Some(5), Some(5_000));
        assert_eq!((span.from, span.limit), (5, LIMIT_MAX));
        assert_eq!(span.next(3, 9), Some(8));
        assert_eq!(span.next(4, 9), None);
        assert_eq!(span.next(0, 9), None);
        assert_eq!(Span::of(None, None).limit, LIMIT);
    }

    #[test]
    fn a_direction_is_one_letter() {
        assert!(is_backwards(None, true).unwrap());
        assert!(!is_backwards(Some("f"), true).unwrap());
        assert!(is_backwards(Some("b"), false).unwrap());
        assert!(is_backwards(Some("x"), false).is_err());
    }
}

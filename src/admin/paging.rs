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

/// A page of a list that goes on after its last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sheet {
    limit: usize,
}

impl Sheet {
    /// As it is asked for: so many entries when nothing is said, and never more than these.
    pub(super) fn of(limit: Option<u64>, (usual, most): (u64, u64)) -> Self {
        Self {
            limit: limit.unwrap_or(usual).clamp(1, most) as usize,
        }
    }

    /// So many are to be looked for: one more than are told says whether there are more.
    pub(super) fn wanted(self) -> usize {
        self.limit + 1
    }

    /// Takes away what is not told. Whether there are more.
    pub(super) fn cut<T>(self, found: &mut Vec<T>) -> bool {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        has_more
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
    fn a_sheet_has_more_after_it_only_when_there_is_more() {
        let limits = [None, Some(0), Some(7), Some(5_000)];
        let wanted = limits.map(|limit| Sheet::of(limit, (50, 200)).wanted());
        assert_eq!(wanted, [51, 2, 8, 201]);
        let sheet = Sheet::of(Some(2), (50, 200));
        for (found, has_more) in [(0, false), (2, false), (3, true)] {
            let mut found = vec!["entry"; found];
            assert_eq!(sheet.cut(&mut found), has_more);
            assert!(found.len() <= 2);
        }
    }

    #[test]
    fn a_direction_is_one_letter() {
        assert!(is_backwards(None, true).unwrap());
        assert!(!is_backwards(Some("f"), true).unwrap());
        assert!(is_backwards(Some("b"), false).unwrap());
        assert!(is_backwards(Some("x"), false).is_err());
    }
}

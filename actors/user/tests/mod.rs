//! Given records, when a command comes, then records; and what must hold over any sequence of them.

pub(in crate::user) mod trial;

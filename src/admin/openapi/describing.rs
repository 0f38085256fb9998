//! How an endpoint of this server's own admin API is described.

use playhouse_actors::admins::AdminRole;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// True or false.
    Truth,
    /// An object.
    Object,
    /// Texts.
    Texts,
    /// Objects.
    Objects,
}

/// A field, what it holds, and what is to be said of it.
pub(crate) type Field = (&'static str, Holds, &'static str);

/// What a request's body must have, and what it may have.
pub(crate) type Body = (&'static [Field], &'static [Field]);

/// An endpoint.
pub(crate) struct Described {
    /// In capitals.
    pub(crate) method: &'static str,
    /// After `/_playhouse/admin/v1`.
    pub(crate) path: &'static str,
    /// What it takes to call it.
    pub(crate) role: AdminRole,
    /// What it does.
    pub(crate) summary: &'static str,
    /// Parameters of the query.
    pub(crate) query: &'static [Field],
    /// `None` where there is no body.
    pub(crate) body: Option<Body>,
    /// Fields of the answer.
    pub(crate) answer: &'static [Field],
}

/// An endpoint that only looks.
pub(super) const fn look(
    path: &'static str,
    summary: &'static str,
    (query, answer): (&'static [Field], &'static [Field]),
) -> Described {
    Described {
        method: "GET",
        path,
        role: AdminRole::Read,
        summary,
        query,
        body: None,
        answer,
    }
}

/// An endpoint that changes something.
pub(super) const fn change(
    (method, path): (&'static str, &'static str),
    role: AdminRole,
    summary: &'static str,
    (body, answer): (Option<Body>, &'static [Field]),
) -> Described {
    Described {
        method,
        path,
        role,
        summary,
        query: &[],
        body,
        answer,
    }
}

/// The same, but not for everybody who may look.
pub(super) const fn for_operators(described: Described) -> Described {
    Described {
        role: AdminRole::Operate,
        ..described
    }
}

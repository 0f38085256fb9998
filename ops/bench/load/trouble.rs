//! What can go wrong with one operation. Its text is the name under which it is counted.

/// The outcome of an operation.
pub(crate) type Outcome<T> = Result<T, Trouble>;

/// Why an operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Any status but 2xx.
    #[error("{0} {1}")]
    Refused(u16, String),
    /// The connection was closed before anything of the answer came.
    #[error("connection closed")]
    Closed,
    /// The connection failed.
    #[error("connection: {0}")]
    Broken(String),
    /// No answer within the tool's patience.
    #[error("no answer in time")]
    Timeout,
    /// An answer that makes no sense.
    #[error("{0}")]
    Surprise(String),
    /// Wrong use of the tool, or a server that cannot be started.
    #[error("{0}")]
    Setup(String),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

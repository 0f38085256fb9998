//! Playhouse: a Matrix homeserver. See the README.

mod media;

//! Everything a desk can be asked.

use bytes::Bytes;
use playhouse_schema::{address::Entity, chain::digest};
use serde::{Deserialize, Serialize};

use super::rates::Rate;

/// What a desk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeskKind {
    /// Sessions of user-interactive authentication.
    Uia,
    /// What providers of single sign-on said that is good once.
    Used,
    /// Where devices meet for a login by QR code.
    Meetings,
    /// Answers to old clients' repeated requests.
    Repeats,
    /// Who waits for whom.
    Turns,
    /// Rates of what is rare.
    Rates,
}

/// What a desk has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeskBounds {
    /// So many things.
    pub(super) things_max: usize,
    /// So many bytes in all of them together.
    pub(super) bytes_max: usize,
}

impl DeskKind {
    /// All there are.
    pub(super) const ALL: [DeskKind; 6] = [
        DeskKind::Uia,
        DeskKind::Used,
        DeskKind::Meetings,
        DeskKind::Repeats,
        DeskKind::Turns,
        DeskKind::Rates,
    ];

    fn name(self) -> &'static str {
        match self {
            DeskKind::Uia => "uia",
            DeskKind::Used => "used",
            DeskKind::Meetings => "meetings",
            DeskKind::Repeats => "repeats",
            DeskKind::Turns => "turns",
            DeskKind::Rates => "rates",
        }
    }

    /// Over so many desks the keys are spread. One desk knows all there is, and can tell the oldest of all.
    fn desks(self) -> u64 {
        match self {
            DeskKind::Used | DeskKind::Meetings => 1,
            _ => 16,
        }
    }

    /// What each desk has room for; at most so many times [`DeskKind::desks`] in the whole house.
    pub(super) fn bounds(self) -> DeskBounds {
        let (things_max, bytes_max) = match self {
            DeskKind::Uia => (1_250, 1 << 20),
            DeskKind::Used => (20_000, 4 << 20),
            DeskKind::Meetings => (100_000, 64 << 20),
            DeskKind::Repeats => (250, 1 << 20),
            DeskKind::Turns | DeskKind::Rates => (0, 0),
        };
        DeskBounds {
            things_max,
            bytes_max,
        }
    }

    /// The desk that has a key.
    pub fn entity(self, key: Key) -> Entity {
        let number = key.0 % self.desks();
        Entity::house(&format!("desk-{}-{number:02}", self.name()))
    }

    /// What the desk of an entity is for.
    pub(super) fn of(entity: &Entity) -> Option<Self> {
        let name = entity.name().strip_prefix("desk-")?;
        let (name, _) = name.rsplit_once('-')?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Under what something lies on a desk: a digest, so that names of any length fit, and secret ones are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(u64, u64);

impl Key {
    /// The key of a name.
    pub fn of(name: &str) -> Self {
        let digest = digest(name.as_bytes());
        let part = |from: usize| {
            u64::from_be_bytes(
                digest[from..from + 8]
                    .try_into()
                    .expect("a SHA-256 digest has 32 bytes"),
            )
        };
        Self(part(0), part(8))
    }
}

/// What lies on a desk. Means nothing to it, may be secret, and is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque(pub Bytes);

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What can be asked. What changes something carries a nonce, see the module's text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DeskQuery {
    /// Puts something there. Answers `Put`.
    Put(PutWish),
    /// What lies there. Answers `Thing`.
    Get(Key),
    /// Puts something in the place of what lies there, if that is what the asker has seen. Answers `Changed`.
    Change {
        /// Where.
        key: Key,
        /// What was seen: [`Thing::token`].
        if_token: String,
        /// What is to lie there until the same time.
        value: Opaque,
        /// The new token.
        nonce: String,
    },
    /// Takes something away. Of several who ask, one gets it. Answers `Thing`.
    Take {
        /// Where.
        key: Key,
        /// Tells a repetition.
        nonce: String,
    },
    /// Takes a lock, or keeps it. Answers `Lock`, perhaps after a while.
    Lock(LockWish),
    /// Gives a lock back, or does not want it any more. Answers `Unlocked`.
    Unlock {
        /// Which lock.
        key: Key,
        /// Who.
        holder: String,
    },
    /// Counts something. Answers `Counted`.
    Count {
        /// What is counted.
        key: Key,
        /// How often it may happen.
        rate: Rate,
        /// Tells a repetition.
        nonce: String,
    },
    /// Sees to it that the desk remembers what happens from now on, until some time. Answers `Attends`.
    Attend {
        /// Milliseconds since the Unix epoch.
        until_ms: u64,
    },
}

impl DeskQuery {
    /// What tells a repetition, where that matters.
    pub(super) fn nonce(&self) -> Option<&str> {
        match self {
            DeskQuery::Put(PutWish { nonce, .. })
            | DeskQuery::Change { nonce, .. }
            | DeskQuery::Take { nonce, .. }
            | DeskQuery::Count { nonce, .. } => Some(nonce),
            _ => None,
        }
    }
}

/// Something that is to lie on a desk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PutWish {
    /// Where.
    pub key: Key,
    /// What.
    pub value: Opaque,
    /// It ends then, milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// On what terms.
    pub terms: Terms,
    /// Its token.
    pub nonce: String,
}

/// On what terms something is put on a desk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Refused with `Taken` when something lies there.
    #[serde(default)]
    pub only_new: bool,
    /// Where there is no room it is refused with `Full`; otherwise what ends first has to go.
    #[serde(default)]
    pub never_evicts: bool,
    /// There is room for so many things, if that is less than the desk's own bound.
    #[serde(default)]
    pub things_max: Option<u64>,
    /// It began then, and is refused with `Forgotten` when the desk cannot know any more what has happened since.
    #[serde(default)]
    pub begun_ms: Option<u64>,
}

/// A lock that is wanted. It is a number of places of which each holder takes some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWish {
    /// Which lock.
    pub key: Key,
    /// By whom: a name that is used for this one wish.
    pub holder: String,
    /// So many places.
    pub share: u32,
    /// Of so many.
    pub places: u32,
    /// So many may wait.
    pub line_max: u32,
    /// It falls free when it is not asked for again within this time, milliseconds.
    pub lease_ms: u64,
    /// So long the answer may take, milliseconds. At 0 there is no waiting in line.
    pub wait_ms: u64,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeskAnswer {
    /// What became of [`DeskQuery::Put`].
    Put(Put),
    /// What lies, or lay, there.
    Thing(Option<Thing>),
    /// What became of [`DeskQuery::Change`].
    Changed(Changed),
    /// What became of [`DeskQuery::Lock`].
    Lock(Locked),
    /// It is free of this holder.
    Unlocked,
    /// `None`: it may happen. Otherwise it may in so many milliseconds.
    Counted(Option<u64>),
    /// It does.
    Attends,
}

/// Something on a desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// What it is.
    pub value: Opaque,
    /// What tells it from what lay there before and what will lie there later.
    pub token: String,
    /// It ends then.
    pub until_ms: u64,
}

/// What became of something that was to be put on a desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Put {
    /// It lies there.
    Done,
    /// Something else lies there.
    Taken,
    /// There is no room, or it is too large.
    Full,
    /// What has happened since it began is not known any more.
    Forgotten,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changed {
    /// It is done.
    Done,
    /// Nothing lies there.
    Gone,
    /// Something else lies there than was seen.
    Overtaken,
    /// It is too large.
    Full,
}

/// What became of a wish for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Locked {
    /// It is held.
    Granted,
    /// Not yet. The place in the line is kept for a moment: who asks again goes on waiting.
    Waiting,
    /// Others hold it.
    Busy,
    /// Too many wait.
    Full,
    /// The holder had given it back.
    Over,
}

/// What a desk tells itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum DeskSignal {
    /// A timer, set for this time, has run out.
    Alarm(u64),
}

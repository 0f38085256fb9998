//! What became of an event for a pusher, or why nothing has yet: for those who look after the server. Nothing here pushes.

use playhouse_schema::{
    address::{Entity, Position, Sequence, ShardNumber},
    port::{LogStore, StoreError},
};
use ruma::{OwnedRoomId, UserId};

use super::{
    board::PushBoard,
    delivery::CLOCKS_APART_MS,
    plan::{self, Way},
    positions::of_part,
};
use crate::user::pushers::NamedPusher;

/// An event of which pushers may tell.
#[derive(Clone, Debug)]
pub struct PushedEvent {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its shard.
    pub number: ShardNumber,
    /// The event's position there.
    pub position: Position,
    /// Its number among the room's records.
    pub sequence: Sequence,
    /// When it was recorded, milliseconds since the Unix epoch.
    pub recorded_ms: u64,
}

/// What is left to do about an event for a user's pushers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The reader of the log has not come so far.
    Unread,
    /// It waits for a delivery, or one deals with it.
    Waiting,
    /// Nothing, but for pushers that lag behind.
    Nothing,
}

/// What is known besides the pusher.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// The push rules in force notify of it.
    pub notifies: bool,
    /// When it was pushed, milliseconds since the Unix epoch, if the log says so.
    pub pushed_ms: Option<u64>,
    /// What is left to do.
    pub left: Left,
    /// There is a way to send mails.
    pub mails: bool,
}

/// What became of an event for a pusher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFate {
    /// The gateway took it, or a mail told of it, at this time, milliseconds since the Unix epoch.
    Pushed(u64),
    /// The pusher is switched off, or cannot be used.
    Off,
    /// It is older than the pusher.
    Older,
    /// The push rules in force do not notify of it.
    Silent,
    /// Something newer of the room was pushed, and it is not any more.
    Overtaken,
    /// The reader of the log has not come so far.
    Unread,
    /// It is still to be pushed.
    Waiting,
    /// It is not pushed any more: it was read or redacted meanwhile, is too old, or the rules were others.
    Passed,
}

impl PushFate {
    /// What became of an event for a pusher.
    pub fn of(named: &NamedPusher, event: &PushedEvent, signs: Signs) -> Self {
        let standing = &named.pusher.standing;
        let room_id = event.room_id.as_str();
        let pushed = standing.pushed.get(room_id).copied();
        let mailed = standing.mailed.get(room_id);
        let told = pushed.or(mailed.map(|mailed| (mailed.newest, mailed.at_ms)));
        let exactly = told.filter(|(newest, _)| *newest == event.sequence);
        if let Some(at_ms) = signs.pushed_ms.or(exactly.map(|(_, at_ms)| at_ms)) {
            return PushFate::Pushed(at_ms);
        }
        let target = plan::target(named);
        let target = target.filter(|target| signs.mails || matches!(target.way, Way::Http(_)));
        if target.is_none() {
            return PushFate::Off;
        }
        if event.recorded_ms + CLOCKS_APART_MS < named.pusher.made_ms {
            return PushFate::Older;
        }
        if !signs.notifies {
            return PushFate::Silent;
        }
        if told.is_some_and(|(newest, _)| newest > event.sequence) {
            return PushFate::Overtaken;
        }
        let lag = standing.lag.as_ref();
        match signs.left {
            Left::Unread => PushFate::Unread,
            Left::Waiting => PushFate::Waiting,
            Left::Nothing if lag.is_some_and(|lag| is_after(event, lag)) => PushFate::Waiting,
            Left::Nothing => PushFate::Passed,
        }
    }
}

fn is_after(event: &PushedEvent, lag: &[(ShardNumber, Position)]) -> bool {
    let from = lag.iter().find(|(number, _)| *number == event.number);
    event.position > from.map_or(0, |(_, from)| *from)
}

/// What is left to do about an event for a user's pushers: by what is known on this node, or by the position that whoever pushes to the user has stored.
pub async fn left_for(
    store: &dyn LogStore,
    board: Option<&PushBoard>,
    user_id: &UserId,
    event: &PushedEvent,
) -> Result<Left, StoreError> {
    if let Some(left) = board.and_then(|board| board.left_for(user_id, event)) {
        return Ok(left);
    }
    let part = store.layout().shard_of(&Entity::user(user_id.as_str()));
    let settled = of_part(store, part.number).await?;
    let settled = settled.get(&event.number).copied().unwrap_or(0);
    Ok(if event.position <= settled {
        Left::Nothing
    } else {
        Left::Waiting
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ruma::owned_room_id;
    use serde_json::json;

    use super::{super::tests, *};
    use crate::user::push_standing::{Mailed, Standing};

    fn event() -> PushedEvent {
        PushedEvent {
            room_id: owned_room_id!("!r:example.org"),
            number: 2,
            position: 40,
            sequence: 4,
            recorded_ms: 100_000,
        }
    }

    fn pusher(kind: &str, standing: Standing) -> NamedPusher {
        let json = json!({
            "kind": kind, "lang": "en", "data": {"url": "https://push.example.org/_matrix/push/v1/notify"},
        });
        tests::pusher(&json, standing)
    }

    const SIGNS: Signs = Signs {
        notifies: true,
        pushed_ms: None,
        left: Left::Nothing,
        mails: false,
    };

    fn pushed(sequence: Sequence) -> Standing {
        Standing {
            pushed: [("!r:example.org".to_owned(), (sequence, 9))].into(),
            ..Standing::default()
        }
    }

    #[test]
    fn what_was_pushed_is_told_as_pushed() {
        let fate = |sequence| PushFate::of(&pusher("http", pushed(sequence)), &event(), SIGNS);
        assert_eq!(fate(4), PushFate::Pushed(9));
        assert_eq!(fate(5), PushFate::Overtaken);
        assert_eq!(fate(3), PushFate::Passed);
        let signs = Signs {
            pushed_ms: Some(8),
            notifies: false,
            ..SIGNS
        };
        let told = PushFate::of(&pusher("http", pushed(5)), &event(), signs);
        assert_eq!(told, PushFate::Pushed(8), "the log knows best");
        let mailed = Mailed {
            at_ms: 11,
            newest_ms: 1,
            throttle_ms: 1,
            newest: 4,
        };
        let standing = Standing {
            mailed: [("!r:example.org".to_owned(), mailed)].into(),
            ..Standing::default()
        };
        let told = PushFate::of(&pusher("email", standing), &event(), SIGNS);
        assert_eq!(told, PushFate::Pushed(11));
    }

    #[test]
    fn what_was_not_pushed_says_why() {
        let plain = || pusher("http", Standing::default());
        let fate = |named: &NamedPusher, signs| PushFate::of(named, &event(), signs);
        let left = |left| Signs { left, ..SIGNS };
        assert_eq!(fate(&plain(), left(Left::Unread)), PushFate::Unread);
        assert_eq!(fate(&plain(), left(Left::Waiting)), PushFate::Waiting);
        assert_eq!(fate(&plain(), SIGNS), PushFate::Passed);
        let silent = Signs {
            notifies: false,
            ..SIGNS
        };
        assert_eq!(fate(&plain(), silent), PushFate::Silent);
        let mut newer = plain();
        newer.pusher.made_ms = 200_000;
        assert_eq!(fate(&newer, SIGNS), PushFate::Older);
        let mail = pusher("email", Standing::default());
        assert_eq!(fate(&mail, SIGNS), PushFate::Off);
        let signs = Signs {
            mails: true,
            ..SIGNS
        };
        assert_eq!(fate(&mail, signs), PushFate::Passed);
        let lagging = |position| {
            let standing = Standing {
                lag: Some(Arc::new(vec![(2, position)])),
                ..Standing::default()
            };
            fate(&pusher("http", standing), SIGNS)
        };
        assert_eq!(lagging(39), PushFate::Waiting);
        assert_eq!(lagging(40), PushFate::Passed);
    }
}

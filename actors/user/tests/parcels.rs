//! What a user hears, says and answers, on its way to another node.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use playhouse_schema::{
    address::{Family, Shard},
    record::{
        room::{EventRecord, Placement, Verdict},
        user::{
            NamedJson, RateOverride, SlidingRoomKept, SlidingSyncKept, SlidingTold, SlidingWish,
            UserRecord,
        },
    },
};
use ruma::{
    events::room::member::MembershipState,
    owned_event_id, owned_room_id, owned_user_id,
    presence::PresenceState,
    push::{
        Action, HighlightTweakValue, NewConditionalPushRule, NewSimplePushRule, RuleKind, Ruleset,
        Tweak,
    },
    user_id,
};

use crate::{
    kernel::{
        Unavailable,
        parcel::{ParcelError, crossed, pack},
    },
    room::event::RoomEvent,
    user::{
        PushRule, PushRuleChange, UserAnswer, UserCommand, UserError, UserQuery, UserReply,
        UserSignal,
        invite_filter::InviteVerdict,
        key_messages::SignatureFailure,
        message::{
            AdminDecision, NewsKind, Presence, ReceiptNews, RoomNews, Session, SlidingQuery,
            SyncQuery, TokenGrant,
        },
        sliding::threads::{ThreadChanges, ThreadSubscription},
    },
};

fn shard() -> Shard {
    Shard {
        family: Family::Rooms,
        number: 3,
    }
}

fn news(kind: NewsKind) -> UserSignal {
    let room_id = owned_room_id!("!r:example.org");
    UserSignal::Room(Arc::new(RoomNews::new(room_id, (shard(), 70), 7, kind)))
}

fn member_event() -> Arc<RoomEvent> {
    let pdu = r#"{"type":"m.room.member","state_key":"@bob:example.org","sender":"@bob:example.org","room_id":"!r:example.org",
        "origin_server_ts":1,"depth":1,"content":{"membership":"join"}}"#;
    let record = EventRecord {
        event_id: "$member".to_owned(),
        pdu: pdu.as_bytes().to_vec().into(),
        before: 5,
        replaces: Some(4),
        verdict: Verdict::SoftFailed("no".to_owned()),
        placement: Placement::Live,
        transaction: None,
        from: None,
    };
    Arc::new(RoomEvent::from_record(7, 70, &record).unwrap())
}

#[test]
fn what_a_user_hears_arrives() {
    let event = news(NewsKind::Event {
        event: member_event(),
        membership: Some((owned_user_id!("@bob:example.org"), MembershipState::Join)),
    });
    let UserSignal::Room(arrived) = crossed(&event) else {
        panic!("news expected");
    };
    assert_eq!(arrived.event(), Some(&member_event()));
    for signal in [
        news(NewsKind::Receipt(ReceiptNews {
            user_id: owned_user_id!("@bob:example.org"),
            is_private: false,
            thread_id: Some("main".to_owned()),
            event_id: owned_event_id!("$e:example.org"),
            ts_ms: 7,
        })),
        news(NewsKind::StateSet),
        UserSignal::Typing {
            room_id: owned_room_id!("!r:example.org"),
            users: Arc::new(vec![owned_user_id!("@bob:example.org")]),
        },
        UserSignal::Presence {
            user_id: owned_user_id!("@bob:example.org"),
            presence: Arc::new(presence()),
        },
        UserSignal::DeviceListChanged {
            user_id: owned_user_id!("@bob:example.org"),
            shard: shard(),
            position: 7,
        },
        UserSignal::Closing,
    ] {
        crossed(&signal);
    }
}

#[test]
fn what_a_user_tells_itself_stays_on_its_node() {
    for signal in [UserSignal::SyncDue(7), UserSignal::PresenceDue] {
        let refused = pack(&signal);
        assert!(matches!(refused, Err(ParcelError::Unsendable(_))));
    }
}

#[test]
fn push_rules_arrive() {
    let rules = Ruleset::server_default(user_id!("@alice:example.org"));
    let ignored = BTreeSet::from([owned_user_id!("@bob:example.org")]);
    crossed(&UserAnswer::Judging(Arc::new(rules), Arc::new(ignored)));
    let condition = r#"{"kind":"event_match","key":"content.body","pattern":"x"}"#;
    let condition = serde_json::from_str(condition).unwrap();
    let highlight = Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes));
    let actions = vec![Action::Notify, highlight];
    let words = NewConditionalPushRule::new("mine".to_owned(), vec![condition], actions.clone());
    let room = NewSimplePushRule::new(owned_room_id!("!r:example.org"), Vec::new());
    for change in [
        PushRuleChange::Put {
            rule: PushRule::Underride(words),
            before: None,
            after: Some("other".to_owned()),
        },
        PushRuleChange::Put {
            rule: PushRule::Room(room),
            before: None,
            after: None,
        },
        PushRuleChange::Act {
            kind: RuleKind::Content,
            rule_id: "word".to_owned(),
            actions,
        },
    ] {
        crossed(&UserCommand::ChangePushRules(Box::new(change)));
    }
}

#[test]
fn commands_arrive() {
    let hash = UserCommand::ConfirmRefresh {
        access_hash: vec![200; 32],
    };
    crossed(&hash);
    assert!(pack(&hash).unwrap().len() < 80);
    // All devices, all but none, all but one.
    for logout_except in [None, Some(None), Some(Some("D".into()))] {
        crossed(&UserCommand::SetPassword {
            password_hash: None,
            logout_except,
        });
    }
    let field = NamedJson {
        name: "m.tz".to_owned(),
        json: Some(b"{}".to_vec().into()),
    };
    crossed(&UserCommand::EraseHistory(vec![(
        7,
        UserRecord::ProfileFieldSet(field),
    )]));
    crossed(&UserCommand::Reopen {
        password_hash: Some("$argon2id$x".to_owned()),
    });
    crossed(&UserCommand::Administer(AdminDecision::SetRateOverride(
        None,
    )));
    let kept = SlidingSyncKept {
        device_id: "D".to_owned(),
        connection: String::new(),
        parent: None,
        version: 7,
        wishes: vec![SlidingWish {
            entries: vec![("m.room.name".to_owned(), String::new())],
            lazy: true,
        }],
        rooms: vec![SlidingRoomKept {
            room_id: "!r:example.org".to_owned(),
            events: SlidingTold::Until(7),
            receipts: SlidingTold::Live,
            data: SlidingTold::Never,
            timeline_limit: 20,
            wish: 0,
        }],
        gone: vec!["!s:example.org".to_owned()],
    };
    crossed(&UserCommand::KeepConnection(Box::new(kept)));
}

#[test]
fn replies_and_refusals_arrive() {
    let failure = SignatureFailure {
        user_id: owned_user_id!("@bob:example.org"),
        key_id: "D".to_owned(),
        error: UserError::InvalidSignature("no".to_owned()),
    };
    for reply in [
        UserReply::Claimed(vec![("D".into(), "curve:1".to_owned(), "{}".to_owned())]),
        UserReply::KeyCounts(vec![("curve".to_owned(), 7)]),
        UserReply::SignatureFailures(vec![failure]),
    ] {
        crossed(&reply);
    }
    for error in [
        UserError::UnknownToken { soft_logout: true },
        UserError::KeyExists("curve:1".to_owned()),
        UserError::Unavailable(Unavailable::Overloaded),
    ] {
        assert_eq!(crossed(&error), error);
    }
}

#[test]
fn syncs_arrive() {
    let request = r#"{"conn_id":"list","lists":{"all":{"ranges":[[0,19],[30,31]],"timeline_limit":20,"required_state":[["m.room.name",""]],
        "filters":{"room_types":[null,"m.space"],"is_dm":false}}},"room_subscriptions":{"!r:example.org":{"timeline_limit":1}},
        "extensions":{"receipts":{"enabled":true,"rooms":["*"]},"to_device":{"enabled":true,"limit":10,"since":"7"}}}"#;
    crossed(&UserQuery::SlidingSync(Box::new(SlidingQuery {
        device_id: "D".into(),
        pos: Some("7".to_owned()),
        set_presence: Some(PresenceState::Unavailable),
        timeout_ms: 30_000,
        request: serde_json::from_str(request).unwrap(),
    })));
    crossed(&UserQuery::Sync(Box::new(SyncQuery {
        device_id: "D".into(),
        since: None,
        filter: Some("{}".to_owned()),
        full_state: true,
        set_presence: None,
        timeout_ms: 0,
        state_after: true,
    })));
    let body = Bytes::from(vec![b'x'; 10_000]);
    let answer = UserAnswer::Synced(body);
    crossed(&answer);
    assert!(pack(&answer).unwrap().len() < 10_100);
}

#[test]
fn answers_arrive() {
    let session = Session {
        user_id: owned_user_id!("@alice:example.org"),
        device_id: Some("D".into()),
        admin: true,
        guest: false,
        suspended: false,
        locked: false,
        expires_ms: Some(7),
        valid_until_ms: None,
        shadow_banned: true,
        rate: Some(RateOverride {
            per_second: 0,
            burst: 7,
        }),
        confirms_refresh: true,
    };
    let grant = TokenGrant {
        device_id: "D".into(),
        client_id: None,
        expires_ms: Some(7),
    };
    let thread = (
        owned_room_id!("!r:example.org"),
        owned_event_id!("$root:example.org"),
    );
    let unsubscribed = ThreadSubscription {
        automatic: None,
        until: 7,
        changed: 8,
    };
    for answer in [
        UserAnswer::Session(session),
        UserAnswer::Grant(Some(grant)),
        UserAnswer::Grant(None),
        UserAnswer::Invite(InviteVerdict::BlockByList),
        UserAnswer::Reading(vec![owned_user_id!("@bob:example.org")], Some(7)),
        UserAnswer::Rooms(vec![(
            owned_room_id!("!r:example.org"),
            MembershipState::Knock,
        )]),
        UserAnswer::Presence(presence()),
        UserAnswer::ThreadChanges(ThreadChanges {
            changes: vec![(thread, unsubscribed)],
            more_before: Some(6),
        }),
    ] {
        crossed(&answer);
    }
}

fn presence() -> Presence {
    Presence {
        presence: PresenceState::Unavailable,
        status_msg: Some("away".to_owned()),
        active_ms: 7,
        currently_active: false,
    }
}

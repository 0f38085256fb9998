//! Profile, account data, tags, filters, forgotten rooms, presence.

use ruma::{owned_room_id, presence::PresenceState, room_id};

use super::trial::{Trial, position};
use crate::user::{
    error::UserError,
    message::{UserCommand, UserReply},
};

fn profile(name: &str, value: Option<&str>) -> UserCommand {
    UserCommand::SetProfileField {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    }
}

fn data(event_type: &str, content: Option<&str>) -> UserCommand {
    UserCommand::SetAccountData {
        room_id: None,
        event_type: event_type.to_owned(),
        content: content.map(str::to_owned),
    }
}

fn tag(tag: &str, content: Option<&str>) -> UserCommand {
    UserCommand::SetTag {
        room_id: owned_room_id!("!r:example.org"),
        tag: tag.to_owned(),
        content: content.map(str::to_owned),
    }
}

#[test]
fn direct_chats_are_noted_once() {
    let mut alice = Trial::with_devices(&[]);
    let mark = |room_id: &str| UserCommand::MarkDirect {
        room_id: room_id.try_into().unwrap(),
        with: ruma::owned_user_id!("@bob:example.org"),
    };
    assert_eq!(alice.done(mark("!a:example.org")), 1);
    assert_eq!(alice.done(mark("!a:example.org")), 0);
    assert_eq!(alice.done(mark("!b:example.org")), 1);
    let chats = alice.user.account_data_json(None, "m.direct").unwrap();
    let expected = r#"{"@bob:example.org":["!a:example.org","!b:example.org"]}"#;
    assert_eq!(chats, expected);
    alice.done(data("m.direct", Some(r#"{"@bob:example.org":"mine"}"#)));
    assert_eq!(alice.done(mark("!c:example.org")), 0);
}

#[test]
fn profile_fields_come_and_go() {
    let mut alice = Trial::with_devices(&[]);
    assert_eq!(alice.done(profile("displayname", Some("\"A\""))), 1);
    assert_eq!(alice.done(profile("displayname", Some("\"A\""))), 0);
    alice.done(profile(
        "org.example.job",
        Some(" { \"b\" : null, \"a\" : [1] } "),
    ));
    assert_eq!(
        alice.user.profile_answer(),
        [
            ("displayname".to_owned(), "\"A\"".to_owned()),
            (
                "org.example.job".to_owned(),
                "{\"a\":[1],\"b\":null}".to_owned()
            ),
        ]
    );
    for nothing in [None, Some("null"), Some("\"\"")] {
        alice.done(profile("displayname", Some("\"A\"")));
        assert_eq!(alice.done(profile("displayname", nothing)), 1);
        assert!(alice.user.profile_field("displayname").is_none());
    }
    assert_eq!(alice.user.profile_change.sequence, alice.user.sequence);
    assert_eq!(
        alice.user.profile_change.position,
        position(alice.user.sequence)
    );
}

#[test]
fn profiles_are_bounded() {
    let mut alice = Trial::with_devices(&[]);
    let long = |length| format!("\"{}\"", "x".repeat(length));
    assert_eq!(
        alice.refused(profile(&"n".repeat(256), Some("1"))),
        UserError::KeyTooLarge
    );
    assert!(matches!(
        alice.refused(profile("displayname", Some(&long(257)))),
        UserError::InvalidParam(_)
    ));
    assert!(matches!(
        alice.refused(profile("displayname", Some("1"))),
        UserError::BadJson(_)
    ));
    assert!(matches!(
        alice.refused(profile("a.b", Some("1.5"))),
        UserError::BadJson(_)
    ));
    alice.done(profile("displayname", None));
    // {"a.b":"…"} with 64 KiB in all.
    let fits = 64 * 1024 - 10;
    assert_eq!(
        alice.refused(profile("a.b", Some(&long(fits + 1)))),
        UserError::ProfileTooLarge
    );
    alice.done(profile("a.b", Some(&long(fits))));
    assert_eq!(
        alice.refused(profile("c.d", Some("1"))),
        UserError::ProfileTooLarge
    );
    alice.done(profile("a.b", Some("1")));
}

#[test]
fn account_data_tells_what_changed_since() {
    let mut alice = Trial::with_devices(&[]);
    alice.done(data("a", Some("{\"x\":1}")));
    alice.done(data("b", Some("{}")));
    let between = position(alice.user.sequence);
    alice.done(data("a", None));
    assert_eq!(alice.done(data("a", None)), 0);
    let changed: Vec<_> = alice
        .user
        .account_data
        .since(between)
        .map(|((_, name), item)| (name.as_str(), item.json.is_some()))
        .collect();
    assert_eq!(changed, [("a", false)]);
    assert_eq!(alice.user.account_data.since(0).count(), 2);
    assert_eq!(alice.user.account_data_json(None, "a"), None);
    assert!(matches!(
        alice.refused(data("a", Some("[]"))),
        UserError::BadJson(_)
    ));
}

#[test]
fn account_data_is_bounded() {
    let mut alice = Trial::with_devices(&[]);
    alice.limits.account_data_bytes_max = 20;
    alice.limits.account_data_total_bytes_max = 40;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(11));
    assert_eq!(large.len(), 19);
    alice.done(data("a", Some(&large)));
    alice.done(data("a", Some(&large)));
    alice.done(data("b", Some(&large)));
    assert!(matches!(
        alice.refused(data("c", Some("{}"))),
        UserError::TooLarge(_)
    ));
    let larger = format!("{{\"x\":\"{}\"}}", "x".repeat(13));
    assert!(matches!(
        alice.refused(data("a", Some(&larger))),
        UserError::TooLarge(_)
    ));
}

#[test]
fn push_rules_and_ignored_users_follow_account_data() {
    let mut alice = Trial::with_devices(&[]);
    let rules = alice.user.push_rules();
    assert!(
        rules
            .override_
            .iter()
            .any(|rule| rule.rule_id == ".m.rule.master")
    );
    let json = alice.user.account_data_json(None, "m.push_rules").unwrap();
    assert!(json.starts_with("{\"global\":"));
    let own = json.replacen(
        "\"room\":[]",
        "\"room\":[{\"rule_id\":\"!r:example.org\",\"actions\":[],\"default\":false,\"enabled\":true}]",
        1,
    );
    alice.done(data("m.push_rules", Some(&own)));
    let own = alice.user.push_rules();
    assert_eq!(own.room.len(), 1, "{json}");
    assert_eq!(own.override_.len(), rules.override_.len());
    assert!(alice.user.ignored().is_empty());
    alice.done(data(
        "m.ignored_user_list",
        Some("{\"ignored_users\":{\"@bob:example.org\":{}}}"),
    ));
    assert_eq!(alice.user.ignored().len(), 1);
}

#[test]
fn tags_are_account_data_of_the_room() {
    let mut alice = Trial::with_devices(&[]);
    alice.done(tag("u.work", Some("{\"order\":0.5}")));
    alice.done(tag("m.favourite", Some("{}")));
    assert_eq!(alice.done(tag("u.none", None)), 0);
    alice.done(tag("m.favourite", None));
    assert_eq!(
        alice
            .user
            .account_data_json(Some(room_id!("!r:example.org")), "m.tag")
            .as_deref(),
        Some("{\"tags\":{\"u.work\":{\"order\":0.5}}}")
    );
}

#[test]
fn the_same_filter_gets_the_same_id() {
    let mut alice = Trial::with_devices(&[]);
    alice.limits.filters_max = 2;
    let mut store = |filter: &str| match alice.run(UserCommand::StoreFilter(filter.to_owned())) {
        Ok(UserReply::FilterId(filter_id)) => Ok(filter_id),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(store("{\"a\":1,\"b\":2}").unwrap(), "0");
    assert_eq!(store("{}").unwrap(), "1");
    assert_eq!(store("{ \"b\":2, \"a\":1 }").unwrap(), "0");
    assert!(matches!(store("{\"c\":1}"), Err(UserError::TooLarge(_))));
    assert!(matches!(store("7"), Err(UserError::BadJson(_))));
    assert_eq!(alice.user.filter("1").map(|filter| &**filter), Some("{}"));
    assert!(alice.user.filter("2").is_none() && alice.user.filter("x").is_none());
}

#[test]
fn a_room_can_be_forgotten_again() {
    let mut alice = Trial::with_devices(&[]);
    let room_id = owned_room_id!("!r:example.org");
    let forget = |until| UserCommand::ForgetRoom {
        room_id: room_id.clone(),
        until,
    };
    assert_eq!(alice.done(forget(3)), 1);
    assert_eq!(alice.done(forget(3)), 0);
    assert!(alice.user.has_forgotten(&room_id, 3) && !alice.user.has_forgotten(&room_id, 7));
    assert_eq!(alice.done(forget(7)), 1);
    assert!(alice.user.has_forgotten(&room_id, 7));
}

#[test]
fn a_forgotten_room_stays_so_when_the_account_is_opened_again() {
    let mut alice = Trial::with_devices(&[]);
    let room_id = owned_room_id!("!r:example.org");
    let forget = UserCommand::ForgetRoom {
        room_id: room_id.clone(),
        until: 3,
    };
    alice.done(forget);
    let open = || UserCommand::Reopen {
        password_hash: None,
    };
    for (erase, stays) in [(false, true), (true, false)] {
        alice.done(UserCommand::Deactivate { erase });
        let opened = alice.run(open());
        assert!(matches!(opened, Ok(UserReply::Count(1))));
        assert_eq!(alice.user.has_forgotten(&room_id, 3), stays);
        assert!(!alice.user.has_forgotten(&room_id, 4));
    }
}

#[test]
fn the_same_presence_is_kept_once_a_minute() {
    let mut alice = Trial::with_devices(&[]);
    let set = |presence| UserCommand::SetPresence {
        presence,
        status_msg: None,
    };
    assert_eq!(alice.done(set(PresenceState::Online)), 1);
    assert_eq!(alice.done(set(PresenceState::Online)), 0);
    assert_eq!(alice.done(set(PresenceState::Unavailable)), 1);
    alice.wait_ms(60_000);
    assert_eq!(alice.done(set(PresenceState::Unavailable)), 1);
}

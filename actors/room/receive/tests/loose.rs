//! Events with numbers that canonical JSON cannot say, as a server in Python makes them: `json.dumps` with sorted keys, without spaces and in UTF-8.

use std::collections::BTreeMap;

use ruma::{
    RoomId, RoomVersionId,
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet},
    state_res::Event as _,
};

use crate::{
    network::KeysWanted,
    room::receive::{CheckedPdu, Flaw, check::RawPdu},
};

const KEY: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw";

const MESSAGE: &str = concat!(
    r#"{"auth_events":["$create"],"content":{"body":"é","x":[1.5,10000000000.0,1.0,-0.0,1e+16,1.5e-07,1152921504606846976,118059162071741"#,
    r#"1303424]},"depth":7,"hashes":{"sha256":"rjKBqz7wfss07zZjdlvVEalDnu3BCcH8bJUEOwdD5F4"},"origin_server_ts":1700000000000,"prev_event"#,
    r#"s":["$last"],"room_id":"!room:a","sender":"@alice:a","signatures":{"a":{"ed25519:1":"8AXHMOq0n1gLG5XuLTsMaNEDPbXANaS6udZaCwcq4k+q/"#,
    r#"A+Od5N4LSTVd5AX3m0U2BgsuuQyPQk2gVIgZTNxCA"}},"type":"m.room.message"}"#,
);
const MESSAGE_ID: &str = "$R-RONTNiRleIln98QvTlQEW5XDvNEkzT6FUQb9wDsUk";

/// Its numbers are covered by the signature, too.
const POWERS: &str = concat!(
    r#"{"auth_events":["$create"],"content":{"ban":51.14698,"users":{"@alice:a":100,"@bob:b":50.57},"users_default":-0.5,"x":1.5},"depth""#,
    r#":7,"hashes":{"sha256":"RXcrYGIBIorlEpxo8JwMYO4zbkXsTmx2cyjgZNAUJVw"},"origin_server_ts":1700000000000,"prev_events":["$last"],"roo"#,
    r#"m_id":"!room:a","sender":"@alice:a","signatures":{"a":{"ed25519:1":"JUaQz6Of/OAu0AWNRaa3mK+XpOBqS+5Nd1qqnB9NG/cYo4b7vjMeO+0BFa1z1B"#,
    r#"hKMXTb+SM0SCZ3fZ5P9PPmCg"}},"state_key":"","type":"m.room.power_levels"}"#,
);
const POWERS_ID: &str = "$suvja6ZozvmEwMKrcKvmshb6WsBVtU8DGq9NG31h7q0";

fn rules(version: &RoomVersionId) -> RoomVersionRules {
    version.rules().unwrap()
}

fn keys() -> PublicKeyMap {
    let set = PublicKeySet::from([("ed25519:1".to_owned(), Base64::parse(KEY).unwrap())]);
    BTreeMap::from([("a".to_owned(), set)])
}

fn checked(text: &str) -> Result<CheckedPdu, Flaw> {
    let rules = rules(&RoomVersionId::V5);
    let raw = RawPdu::read(text, &rules)?;
    raw.want_keys(&rules, &mut KeysWanted::new())?;
    let room_id = RoomId::parse("!room:a").unwrap();
    raw.check(&room_id, &rules, &keys())
}

#[test]
fn hashes_and_signatures_of_other_servers_fit() {
    for (text, event_id) in [(MESSAGE, MESSAGE_ID), (POWERS, POWERS_ID)] {
        let pdu = checked(text).unwrap();
        assert_eq!(pdu.event_id.as_str(), event_id);
        assert_eq!(*pdu.json(), text.as_bytes());
    }
}

#[test]
fn how_a_number_is_spelled_on_the_way_does_not_matter() {
    let spelled = MESSAGE
        .replace("10000000000.0", "1E10")
        .replace("1e+16", "10000000000000000.0")
        .replace("1.5e-07", "0.00000015");
    let pdu = checked(&spelled).unwrap();
    assert_eq!(pdu.event_id, MESSAGE_ID);
    assert_eq!(*pdu.json(), MESSAGE.as_bytes());
}

#[test]
fn other_numbers_do_not_fit() {
    let changed = MESSAGE.replace("1.5,", "1.25,");
    let pdu = checked(&changed).unwrap();
    assert_eq!(
        (pdu.event_id.as_str(), pdu.content_json()),
        (MESSAGE_ID, "{}")
    );
    let changed = POWERS.replace("50.57", "50.58");
    assert!(matches!(checked(&changed), Err(Flaw::Signature(_))));
    let keyless = POWERS.replace("ed25519:1", "ed25519:2");
    assert!(matches!(checked(&keyless), Err(Flaw::Keyless(_))));
}

#[test]
fn strict_versions_know_no_such_event() {
    for version in [RoomVersionId::V6, RoomVersionId::V11] {
        let read = RawPdu::read(MESSAGE, &rules(&version));
        assert!(matches!(read, Err(Flaw::Malformed(_))), "{version}");
    }
}

#[test]
fn rules_read_whole_power_levels() {
    let pdu = checked(POWERS).unwrap();
    assert_eq!(
        pdu.content().get(),
        r#"{"ban":51,"users":{"@alice:a":100,"@bob:b":50},"users_default":0,"x":1}"#
    );
    assert!(pdu.content_json().contains("50.57"));
    assert!(checked(MESSAGE).unwrap().content().get().contains("1.5"));
}

//! Records of a user.

use playhouse_schema::record::user::{
    CrossSigningKeysSet, Deactivated, DehydratedDeviceSet, DeviceAdded, DeviceKeysSet,
    DeviceRenamed, DeviceSeen, HiddenInvite, InvitesHidden, KeyClaimed, NamedJson,
    OneTimeKeysAdded, PresenceKept, PushFailed, Pushed, PusherNamed, PusherRejected, PusherSet,
    PushesSettled, PushesWait, RateOverride, Registered, RemoteToDevice, RenewalMailed, Reopened,
    RoomAccountDataSet, RoomForgotten, RoomMailed, SignedKey, SlidingRoomKept, SlidingSyncKept,
    SlidingTold, SlidingWish, TermsAccepted, ThreadSubscriptionSet, ToDevice, ToDeviceAcknowledged,
    ToDeviceReceived, ToDeviceSent, TokenIssued, TransactionDone, UserRecord, ValiditySet,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 50;

const AT: u64 = 1_700_000_000_001;

pub(crate) fn name(record: &UserRecord) -> &'static str {
    match record {
        UserRecord::Registered(_) => "Registered",
        UserRecord::PasswordSet(_) => "PasswordSet",
        UserRecord::LockSet(_) => "LockSet",
        UserRecord::SuspensionSet(_) => "SuspensionSet",
        UserRecord::AdminSet(_) => "AdminSet",
        UserRecord::DeviceAdded(_) => "DeviceAdded",
        UserRecord::DeviceRenamed(_) => "DeviceRenamed",
        UserRecord::DevicesSeen(_) => "DevicesSeen",
        UserRecord::TokenIssued(_) => "TokenIssued",
        UserRecord::TokensRevoked(_) => "TokensRevoked",
        UserRecord::ProfileFieldSet(_) => "ProfileFieldSet",
        UserRecord::AccountDataSet(_) => "AccountDataSet",
        UserRecord::RoomAccountDataSet(_) => "RoomAccountDataSet",
        UserRecord::FilterStored(_) => "FilterStored",
        UserRecord::RoomForgotten(_) => "RoomForgotten",
        UserRecord::DeviceKeysSet(_) => "DeviceKeysSet",
        UserRecord::OneTimeKeysAdded(_) => "OneTimeKeysAdded",
        UserRecord::FallbackKeysSet(_) => "FallbackKeysSet",
        UserRecord::KeysClaimed(_) => "KeysClaimed",
        UserRecord::CrossSigningKeysSet(_) => "CrossSigningKeysSet",
        UserRecord::SignaturesAdded(_) => "SignaturesAdded",
        UserRecord::ToDeviceQueued(_) => "ToDeviceQueued",
        UserRecord::ToDeviceAcknowledged(_) => "ToDeviceAcknowledged",
        UserRecord::PresenceKept(_) => "PresenceKept",
        UserRecord::TransactionDone(_) => "TransactionDone",
        UserRecord::DeviceRemoved(_) => "DeviceRemoved",
        UserRecord::Deactivated(_) => "Deactivated",
        UserRecord::Reopened(_) => "Reopened",
        UserRecord::ToDeviceReceived(_) => "ToDeviceReceived",
        UserRecord::ToDeviceSent(_) => "ToDeviceSent",
        UserRecord::DehydratedDeviceSet(_) => "DehydratedDeviceSet",
        UserRecord::OneTimeKeysDropped(_) => "OneTimeKeysDropped",
        UserRecord::PusherSet(_) => "PusherSet",
        UserRecord::PusherRemoved(_) => "PusherRemoved",
        UserRecord::Pushed(_) => "Pushed",
        UserRecord::PushFailed(_) => "PushFailed",
        UserRecord::PushesWait(_) => "PushesWait",
        UserRecord::PushesSettled(_) => "PushesSettled",
        UserRecord::PusherRejected(_) => "PusherRejected",
        UserRecord::SlidingSyncKept(_) => "SlidingSyncKept",
        UserRecord::ThreadSubscriptionSet(_) => "ThreadSubscriptionSet",
        UserRecord::ValiditySet(_) => "ValiditySet",
        UserRecord::RenewalMailed(_) => "RenewalMailed",
        UserRecord::UserTypeSet(_) => "UserTypeSet",
        UserRecord::ShadowBanSet(_) => "ShadowBanSet",
        UserRecord::RateOverrideSet(_) => "RateOverrideSet",
        UserRecord::TermsAccepted(_) => "TermsAccepted",
        UserRecord::InvitesHidden(_) => "InvitesHidden",
        UserRecord::InvitesShown(_) => "InvitesShown",
        UserRecord::Erased => "Erased",
    }
}

fn bytes<B: From<Vec<u8>>>(bytes: &[u8]) -> B {
    bytes.to_vec().into()
}

fn phone() -> String {
    "PHONE".to_owned()
}

fn room() -> String {
    "!room:example.org".to_owned()
}

fn key() -> String {
    "signed_curve25519:AAAA".to_owned()
}

pub(crate) fn all() -> Vec<Sample<UserRecord>> {
    let mut all = account();
    all.extend(data());
    all.extend(keys());
    all.extend(sliding());
    all.extend(messages());
    all.extend(pushes());
    all.extend(invites());
    all.push(reopened());
    all
}

fn invites() -> Vec<Sample<UserRecord>> {
    let hidden = InvitesHidden {
        run: 7,
        invites: vec![HiddenInvite {
            room_id: room(),
            until: 300,
        }],
    };
    vec![
        sample("InvitesHidden", UserRecord::InvitesHidden(hidden)),
        sample("InvitesShown", UserRecord::InvitesShown(7)),
    ]
}

fn reopened() -> Sample<UserRecord> {
    let reopened = Reopened {
        password_hash: Some("$argon2id$x".into()),
        guest: false,
        at_ms: AT,
    };
    sample("Reopened", UserRecord::Reopened(reopened))
}

fn account() -> Vec<Sample<UserRecord>> {
    let registered = Registered {
        password_hash: Some("$argon2id$x".into()),
        admin: true,
        guest: false,
        user_type: Some("bot".into()),
        at_ms: AT,
    };
    let device_added = DeviceAdded {
        device_id: phone(),
        display_name: Some("Phone".into()),
    };
    let device_renamed = DeviceRenamed {
        device_id: phone(),
        display_name: Some("My phone".into()),
    };
    let devices_seen = vec![DeviceSeen {
        device_id: phone(),
        at_ms: AT,
        address: "192.0.2.1".into(),
        user_agent: "client/1".into(),
    }];
    let token_issued = TokenIssued {
        device_id: phone(),
        access_hash: bytes(&[1; 32]),
        expires_ms: Some(AT),
        refresh_hash: Some(bytes(&[2; 32])),
        refresh_expires_ms: Some(AT),
        replaces_refresh_hash: Some(bytes(&[3; 32])),
        client_id: None,
    };
    vec![
        sample("Registered", UserRecord::Registered(registered)),
        sample(
            "PasswordSet",
            UserRecord::PasswordSet(Some("$argon2id$y".into())),
        ),
        sample("LockSet", UserRecord::LockSet(true)),
        sample("SuspensionSet", UserRecord::SuspensionSet(true)),
        sample("AdminSet", UserRecord::AdminSet(false)),
        sample("DeviceAdded", UserRecord::DeviceAdded(device_added)),
        sample("DeviceRenamed", UserRecord::DeviceRenamed(device_renamed)),
        sample("DevicesSeen", UserRecord::DevicesSeen(devices_seen)),
        sample("TokenIssued", UserRecord::TokenIssued(token_issued)),
        sample(
            "TokensRevoked",
            UserRecord::TokensRevoked(vec![bytes(&[1; 32])]),
        ),
    ]
}

fn data() -> Vec<Sample<UserRecord>> {
    let profile_field_set = NamedJson {
        name: "displayname".into(),
        json: Some(bytes(b"\"Alice\"")),
    };
    let account_data_set = NamedJson {
        name: "org.example".into(),
        json: Some(bytes(b"{}")),
    };
    let room_account_data_set = RoomAccountDataSet {
        room_id: room(),
        data: NamedJson {
            name: "m.tag".into(),
            json: None,
        },
    };
    vec![
        sample(
            "ProfileFieldSet",
            UserRecord::ProfileFieldSet(profile_field_set),
        ),
        sample(
            "AccountDataSet",
            UserRecord::AccountDataSet(account_data_set),
        ),
        sample(
            "RoomAccountDataSet",
            UserRecord::RoomAccountDataSet(room_account_data_set),
        ),
        sample(
            "PusherSet",
            UserRecord::PusherSet(PusherSet {
                app_id: "org.example.app".into(),
                pushkey: "key".into(),
                device_id: Some(phone()),
                at_ms: AT,
                json: bytes(b"{}"),
            }),
        ),
        sample(
            "PusherRemoved",
            UserRecord::PusherRemoved(PusherNamed {
                app_id: "org.example.app".into(),
                pushkey: "key".into(),
            }),
        ),
        sample("FilterStored", UserRecord::FilterStored(bytes(b"{}"))),
        sample(
            "RoomForgotten",
            UserRecord::RoomForgotten(RoomForgotten {
                room_id: room(),
                until: 300,
            }),
        ),
    ]
}

fn keys() -> Vec<Sample<UserRecord>> {
    let device_keys_set = DeviceKeysSet {
        device_id: phone(),
        json: bytes(b"{}"),
    };
    let one_time_keys_added = OneTimeKeysAdded {
        device_id: phone(),
        keys: vec![(key(), bytes(b"{}"))],
    };
    let fallback_keys_set = OneTimeKeysAdded {
        device_id: phone(),
        keys: vec![(key(), bytes(b"{}"))],
    };
    let keys_claimed = vec![KeyClaimed {
        device_id: phone(),
        key_id: key(),
        fallback: false,
    }];
    let cross_signing_keys_set = CrossSigningKeysSet {
        master: Some(bytes(b"{\"m\":1}")),
        self_signing: None,
        user_signing: Some(bytes(b"{\"u\":1}")),
    };
    let signatures_added = vec![SignedKey {
        user_id: "@alice:example.org".into(),
        key_id: phone(),
        signatures: bytes(b"{}"),
    }];
    vec![
        sample("DeviceKeysSet", UserRecord::DeviceKeysSet(device_keys_set)),
        sample(
            "OneTimeKeysAdded",
            UserRecord::OneTimeKeysAdded(one_time_keys_added),
        ),
        sample(
            "FallbackKeysSet",
            UserRecord::FallbackKeysSet(fallback_keys_set),
        ),
        sample("KeysClaimed", UserRecord::KeysClaimed(keys_claimed)),
        sample(
            "CrossSigningKeysSet",
            UserRecord::CrossSigningKeysSet(cross_signing_keys_set),
        ),
        sample(
            "SignaturesAdded",
            UserRecord::SignaturesAdded(signatures_added),
        ),
        sample(
            "DehydratedDeviceSet",
            UserRecord::DehydratedDeviceSet(DehydratedDeviceSet {
                device_id: phone(),
                data: bytes(b"{}"),
            }),
        ),
        sample(
            "OneTimeKeysDropped",
            UserRecord::OneTimeKeysDropped(phone()),
        ),
    ]
}

fn sliding() -> Vec<Sample<UserRecord>> {
    let sliding_sync_kept = SlidingSyncKept {
        device_id: phone(),
        connection: "room-list".into(),
        parent: Some(7),
        version: 8,
        wishes: vec![SlidingWish {
            entries: vec![("m.room.name".into(), String::new())],
            lazy: true,
        }],
        rooms: vec![SlidingRoomKept {
            room_id: room(),
            events: SlidingTold::Live,
            receipts: SlidingTold::Until(300),
            data: SlidingTold::Never,
            timeline_limit: 20,
            wish: 0,
        }],
        gone: vec!["!gone:example.org".into()],
    };
    let thread_subscription_set = ThreadSubscriptionSet {
        room_id: room(),
        root: "$root".into(),
        subscription: Some(true),
        until: 9,
    };
    vec![
        sample(
            "SlidingSyncKept",
            UserRecord::SlidingSyncKept(sliding_sync_kept),
        ),
        sample(
            "ThreadSubscriptionSet",
            UserRecord::ThreadSubscriptionSet(thread_subscription_set),
        ),
        sample(
            "ValiditySet",
            UserRecord::ValiditySet(ValiditySet { until_ms: AT }),
        ),
        sample(
            "RenewalMailed",
            UserRecord::RenewalMailed(RenewalMailed { until_ms: AT }),
        ),
        sample("UserTypeSet", UserRecord::UserTypeSet(Some("bot".into()))),
        sample("UserTypeSet/none", UserRecord::UserTypeSet(None)),
        sample("ShadowBanSet", UserRecord::ShadowBanSet(true)),
        sample(
            "RateOverrideSet",
            UserRecord::RateOverrideSet(Some(RateOverride {
                per_second: 0,
                burst: 300,
            })),
        ),
        sample("RateOverrideSet/none", UserRecord::RateOverrideSet(None)),
        sample(
            "TermsAccepted",
            UserRecord::TermsAccepted(TermsAccepted {
                version: "1.2".into(),
                at_ms: AT,
            }),
        ),
    ]
}

fn messages() -> Vec<Sample<UserRecord>> {
    let to_device_queued = vec![ToDevice {
        device_id: phone(),
        json: bytes(b"{}"),
    }];
    let to_device_received = ToDeviceReceived {
        origin: bytes(&[4; 16]),
        messages: to_device_queued.clone(),
    };
    let to_device_sent = ToDeviceSent {
        device_id: Some(phone()),
        message_id: "abc".into(),
        event_type: "m.room.encrypted".into(),
        messages: vec![RemoteToDevice {
            user_id: "@bob:example.com".into(),
            device_id: "*".into(),
            content: bytes(b"{}"),
        }],
    };
    let to_device_acknowledged = ToDeviceAcknowledged {
        device_id: phone(),
        sequence: 300,
        partial: 1,
    };
    let presence_kept = PresenceKept {
        presence: "online".into(),
        status_msg: Some("here".into()),
        active_ms: AT,
    };
    let transaction_done = TransactionDone {
        device_id: phone(),
        transaction_id: "sendToDevice/1".into(),
    };
    let token_of_client = TokenIssued {
        device_id: phone(),
        access_hash: bytes(&[4; 32]),
        expires_ms: Some(AT),
        refresh_hash: Some(bytes(&[5; 32])),
        refresh_expires_ms: None,
        replaces_refresh_hash: None,
        client_id: Some("client".into()),
    };
    vec![
        sample(
            "ToDeviceQueued",
            UserRecord::ToDeviceQueued(to_device_queued),
        ),
        sample(
            "ToDeviceReceived",
            UserRecord::ToDeviceReceived(to_device_received),
        ),
        sample("ToDeviceSent", UserRecord::ToDeviceSent(to_device_sent)),
        sample(
            "ToDeviceAcknowledged",
            UserRecord::ToDeviceAcknowledged(to_device_acknowledged),
        ),
        sample("PresenceKept", UserRecord::PresenceKept(presence_kept)),
        sample(
            "TransactionDone",
            UserRecord::TransactionDone(transaction_done),
        ),
        sample("DeviceRemoved", UserRecord::DeviceRemoved(phone())),
        sample(
            "Deactivated",
            UserRecord::Deactivated(Deactivated { erase: true }),
        ),
        sample("Erased", UserRecord::Erased),
        sample("TokenIssued/2", UserRecord::TokenIssued(token_of_client)),
    ]
}

fn pushes() -> Vec<Sample<UserRecord>> {
    let lag = vec![(0, 7), (1, 0)];
    let pushed = |missed_calls| {
        UserRecord::Pushed(Pushed {
            pusher: 31,
            at_ms: AT,
            rooms: vec![("!r:example.org".into(), 300)],
            unread: 2,
            missed_calls,
        })
    };
    let settled = |newest| {
        UserRecord::PushesSettled(PushesSettled {
            pusher: 31,
            at_ms: AT,
            mailed: vec![RoomMailed {
                room_id: "!r:example.org".into(),
                newest_ms: AT,
                throttle_ms: 600_000,
                newest,
            }],
        })
    };
    vec![
        sample("Pushed", pushed(0)),
        sample("Pushed/2", pushed(1)),
        sample(
            "PushFailed",
            UserRecord::PushFailed(PushFailed {
                pusher: 31,
                at_ms: AT,
                next_ms: AT,
                reason: "the host is too slow".into(),
                lag: Some(lag.clone()),
            }),
        ),
        sample(
            "PushesWait",
            UserRecord::PushesWait(PushesWait { pusher: 31, lag }),
        ),
        sample("PushesSettled", settled(0)),
        sample("PushesSettled/2", settled(7)),
        sample(
            "PusherRejected",
            UserRecord::PusherRejected(PusherRejected {
                app_id: "org.example.app".into(),
                pushkey: "key".into(),
                at_ms: AT,
                reason: "rejected".into(),
            }),
        ),
    ]
}

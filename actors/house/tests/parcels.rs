//! What the smaller actors of a house hear, say and answer, on its way to another node.

use std::{collections::BTreeSet, sync::Arc};

use playhouse_schema::record::{
    backup::SessionQuality,
    external::{Identity, SessionBegun},
    house::Report,
    join::{JoinBegun, JoinSent},
    media::{Reserved, Uploaded},
    purge::{Deletion, DeletionMoved, DeletionRoom, PurgeEnded},
    quarantine::QuarantineChange,
    threepid as record,
};
use ruma::{owned_room_id, owned_user_id};

use crate::{
    active_users::{ActiveCommand, ActiveError, ActiveQuery, Fullness},
    alias::{AliasCommand, AliasError, AliasQuery, AliasReply, AliasTarget},
    backup::{
        BackupAnswer, BackupCommand, BackupError, BackupReply,
        message::{Description, Extent, NewSession},
    },
    delays::{DelayAnswer, DelayError, DelayQuery, DelaySignal, Outcome},
    externals::{ExternalAnswer, ExternalCommand, ExternalQuery},
    gateway::{GatewayAnswer, GatewayError, GatewayQuery, GatewaySignal},
    joins::{Join, JoinCommand, JoinError, JoinQuery, JoinsTold},
    kernel::{Unavailable, parcel::crossed},
    media::{MediaAnswer, MediaCommand, MediaError, MediaFacts, ledger::NoteChange},
    oauth::{DeviceCodes, OauthAnswer, OauthError, OauthQuery, Progress},
    passes::{PassAnswer, PassCommand, PassError, PassKind, PassReply, SeenPass},
    purges::{DeletionStanding, PurgeAnswer, PurgeCommand, PurgeError},
    registration::{
        RegistrationAnswer, RegistrationCommand, RegistrationError, RegistrationReply,
        RegistrationSignal, TokenUse,
        message::{RegistrationToken, TokenChange},
    },
    reports::{ReportCommand, ReportError, ReportMade},
    threepid::{
        Address, ThreepidAnswer, ThreepidCommand, ThreepidError, ThreepidReply, message::Validation,
    },
};

#[test]
fn registration_arrives() {
    // Left as they are, made unbounded, and bounded.
    for bound in [None, Some(None), Some(Some(7))] {
        crossed(&RegistrationCommand::ChangeToken(TokenChange {
            token: "t".to_owned(),
            uses_max: bound,
            expires_ms: bound,
        }));
    }
    let token = RegistrationToken {
        token: "t".to_owned(),
        uses_max: None,
        expires_ms: Some(7),
    };
    crossed(&RegistrationReply);
    crossed(&RegistrationAnswer::Tokens(vec![TokenUse {
        token,
        pending: 1,
        completed: 2,
    }]));
    crossed(&RegistrationSignal::Release {
        session: "s".to_owned(),
    });
    crossed(&RegistrationError::BadToken("no".to_owned()));
}

#[test]
fn aliases_arrive() {
    let target = AliasTarget {
        room_id: owned_room_id!("!r:x"),
        creator: owned_user_id!("@a:x"),
        at_ms: 7,
    };
    crossed(&AliasCommand::Repoint {
        from: owned_room_id!("!r:x"),
        to: owned_room_id!("!s:x"),
        creator: None,
    });
    crossed(&AliasReply);
    crossed(&AliasQuery::Resolve);
    crossed(&target);
    crossed(&AliasError::Taken(target));
}

#[test]
fn backups_arrive() {
    let session = NewSession {
        room_id: "!r:x".to_owned(),
        session_id: "s".to_owned(),
        quality: SessionQuality {
            first_message_index: 1,
            forwarded_count: 2,
            is_verified: true,
        },
        data: "{}".to_owned(),
    };
    crossed(&BackupCommand::StoreSessions {
        version: "1".to_owned(),
        sessions: vec![session],
    });
    crossed(&BackupCommand::Sweep);
    let extent = Extent {
        count: 7,
        etag: "8".to_owned(),
    };
    crossed(&BackupReply::Extent(extent.clone()));
    crossed(&BackupAnswer::Version(Description {
        version: "1".to_owned(),
        algorithm: "a".to_owned(),
        auth_data: "{}".to_owned(),
        extent,
    }));
    let places = BackupAnswer::Places(vec![("!r:x".to_owned(), vec![1, 2])]);
    crossed(&places);
    crossed(&BackupError::WrongVersion {
        current: "2".to_owned(),
    });
}

#[test]
fn media_arrive() {
    let uploaded = Uploaded {
        user_id: "@a:x".to_owned(),
        sha256: "b3-00".to_owned(),
        size_bytes: 5,
        content_type: Some("image/png".to_owned()),
        file_name: None,
        at_ms: 7,
    };
    let reserved = Reserved {
        user_id: "@a:x".to_owned(),
        expires_ms: 7,
    };
    crossed(&MediaCommand::Complete(uploaded.clone()));
    crossed(&MediaAnswer::Awaited(reserved.clone()));
    crossed(&MediaAnswer::Facts(Box::new(MediaFacts {
        reserved: Some(reserved),
        uploaded: Some(uploaded),
        ..MediaFacts::default()
    })));
    crossed(&MediaError::Unavailable(Unavailable::Damaged));
    crossed(&NoteChange(QuarantineChange {
        server_name: "x".to_owned(),
        media_id: "m".to_owned(),
        quarantined: true,
    }));
}

#[test]
fn joins_arrive() {
    let sent = JoinSent {
        server: "x".to_owned(),
        pdu: b"{}".to_vec().into(),
        at_ms: 7,
        ..JoinSent::forgotten()
    };
    crossed(&JoinCommand::Send(Box::new(sent.clone())));
    crossed(&JoinQuery::One("!r:x".to_owned(), "@a:x".to_owned()));
    crossed(&JoinsTold(vec![Join {
        begun: JoinBegun {
            room_id: "!r:x".to_owned(),
            user_id: "@a:x".to_owned(),
            guest: false,
            at_ms: 6,
        },
        sent: vec![Arc::new(sent)],
        progress: Some((1, 2)),
        abandoned: None,
    }]));
    crossed(&JoinError::Unavailable(Unavailable::Timeout));
}

#[test]
fn purges_arrive() {
    let deletion = Deletion {
        id: "d".to_owned(),
        room_id: "!r:x".to_owned(),
        by: None,
        at_ms: 7,
        due_ms: 8,
        purge: true,
        force_purge: false,
        new_room: Some(DeletionRoom {
            creator: "@a:x".to_owned(),
            name: "n".to_owned(),
            message: "m".to_owned(),
        }),
    };
    let ended = PurgeEnded {
        id: "d".to_owned(),
        error: Some("no".to_owned()),
        at_ms: 9,
    };
    crossed(&PurgeCommand::Delete(Box::new(deletion.clone())));
    crossed(&PurgeAnswer::Deletions(vec![DeletionStanding {
        deletion,
        done: DeletionMoved {
            kicked: vec!["@b:x".to_owned()],
            ..DeletionMoved::default()
        },
        ended: Some(ended),
    }]));
    crossed(&PurgeAnswer::Block(None));
    crossed(&PurgeError::Busy);
}

#[test]
fn reports_and_activity_arrive() {
    crossed(&ReportCommand::Make(Box::new(Report {
        reporter: "@a:x".to_owned(),
        room_id: Some("!r:x".to_owned()),
        event_id: None,
        user_id: None,
        reason: Some("spam".to_owned()),
        at_ms: 7,
        sender: None,
    })));
    crossed(&ReportMade);
    crossed(&ReportError::TooMany { retry_after_ms: 7 });
    crossed(&ActiveCommand::Reserve(BTreeSet::from(["@a:x".to_owned()])));
    crossed(&ActiveQuery { user_id: None });
    crossed(&Fullness {
        count: 7,
        reserved: 1,
        has_room: true,
    });
    crossed(&ActiveError::Full);
}

#[test]
fn third_party_identifiers_arrive() {
    let address = Address::email("Some.Body@example.org").unwrap();
    let command = ThreepidCommand::Claim {
        user_id: owned_user_id!("@a:x"),
        from: Some(owned_user_id!("@b:x")),
        address: address.clone(),
        validated_ms: 7,
    };
    crossed(&command);
    crossed(&ThreepidCommand::Begin(record::Validation {
        session: "s".to_owned(),
        purpose: "p".to_owned(),
        medium: "email".to_owned(),
        address: "a@x".to_owned(),
        secret: "digest".to_owned(),
        token: "digest".to_owned(),
        attempt: 1,
        next_link: None,
        at_ms: 7,
        until_ms: 8,
    }));
    let proven = Validation {
        address,
        validated_ms: 7,
    };
    let reply = ThreepidReply::Used(proven.clone());
    assert_eq!(crossed(&reply), reply);
    crossed(&ThreepidAnswer::Proven(Some(proven)));
    crossed(&ThreepidAnswer::Owner(Some((owned_user_id!("@a:x"), 7))));
    crossed(&ThreepidError::Taken(owned_user_id!("@a:x")));
}

#[test]
fn what_lets_users_in_arrives() {
    crossed(&PassCommand::Make {
        user_id: owned_user_id!("@a:x"),
        kind: PassKind::Browser,
        lifetime_ms: 7,
        detail: "d".to_owned(),
    });
    crossed(&PassReply::Detail("d".to_owned()));
    crossed(&PassAnswer::Seen(SeenPass {
        detail: "d".to_owned(),
        used: true,
        at_ms: 7,
    }));
    crossed(&PassError::Used);
    crossed(&OauthQuery::SettleDevice {
        user_code: "u".to_owned(),
        code: None,
    });
    crossed(&OauthAnswer::Asked(DeviceCodes {
        device_code: "d".to_owned(),
        user_code: "u".to_owned(),
        lifetime_ms: 7,
        interval_ms: 8,
    }));
    crossed(&OauthAnswer::Progress(Progress::Admitted(
        "code".to_owned(),
    )));
    crossed(&OauthError::TooMany);
    let begun = SessionBegun {
        user_id: "@a:x".to_owned(),
        device_id: "D".to_owned(),
        sid: None,
    };
    crossed(&ExternalCommand::BeginSession(begun.clone()));
    crossed(&ExternalQuery);
    crossed(&ExternalAnswer {
        owner: Some(owned_user_id!("@a:x")),
        sessions: vec![begun],
        identities: vec![Identity {
            provider: "p".to_owned(),
            subject: "s".to_owned(),
        }],
    });
}

#[test]
fn notifications_arrive() {
    crossed(&GatewayQuery::Await("p".to_owned()));
    crossed(&GatewayQuery::Length);
    crossed(&GatewayAnswer::Ended {
        rejected: true,
        kept: false,
    });
    crossed(&GatewaySignal::Tick);
    crossed(&GatewayError::Full);
}

#[test]
fn delayed_events_arrive() {
    crossed(&DelayQuery::Await("d".to_owned()));
    crossed(&DelayAnswer::Ended(Outcome::Refused {
        errcode: "M_FORBIDDEN".to_owned(),
        error: "no".to_owned(),
    }));
    crossed(&DelaySignal::Tick);
    crossed(&DelaySignal::Unhand("d".to_owned()));
    crossed(&DelayError::TooLong { max_ms: 7 });
}

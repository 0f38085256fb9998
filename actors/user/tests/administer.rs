//! What administrators decide of accounts.

use playhouse_schema::record::user::{DehydratedDeviceSet, RateOverride, UserRecord};

use super::trial::{Trial, logged_in, register};
use crate::user::{
    error::UserError,
    message::{AdminDecision, DeviceSighting, UserCommand},
    state::Change,
};

fn administer(decision: AdminDecision) -> UserCommand {
    UserCommand::Administer(decision)
}

#[test]
fn a_decision_is_written_once_and_sessions_know_it() {
    let mut alice = Trial::with_devices(&[]);
    let session = alice.login("PHONE");
    let rate = RateOverride {
        per_second: 0,
        burst: 9,
    };
    for decision in [
        AdminDecision::SetUserType(Some("bot".to_owned())),
        AdminDecision::SetShadowBanned(true),
        AdminDecision::SetRateOverride(Some(rate)),
    ] {
        assert_eq!(alice.done(administer(decision.clone())), 1);
        assert_eq!(alice.done(administer(decision)), 0);
    }
    let found = alice.session(&session.access_token).unwrap();
    assert!(found.shadow_banned);
    assert_eq!(found.rate, Some(rate));
    let account = alice.user.account_answer().unwrap();
    assert_eq!(account.user_type.as_deref(), Some("bot"));
    alice.done(UserCommand::Deactivate { erase: false });
    let late = administer(AdminDecision::SetShadowBanned(false));
    assert_eq!(alice.refused(late), UserError::Deactivated);
}

#[test]
fn what_was_accepted_at_registration_is_kept() {
    let mut alice = Trial::nobody();
    let mut command = register();
    command.terms = Some("1".to_owned());
    alice.done(UserCommand::Register(Box::new(command)));
    let terms = alice.user.account_answer().unwrap().terms.unwrap();
    assert_eq!((terms.version.as_str(), terms.at_ms), ("1", 1_000_000));
}

#[test]
fn only_what_is_stale_goes() {
    let mut alice = Trial::with_devices(&["NEVER", "LATER", "SEEN", "DRY"]);
    let dehydrated = UserRecord::DehydratedDeviceSet(DehydratedDeviceSet {
        device_id: "DRY".to_owned(),
        data: b"{}".to_vec().into(),
    });
    let change = Change {
        sequence: alice.user.sequence + 1,
        position: 77,
    };
    alice.user.fold(change, &dehydrated);
    let sighting = DeviceSighting {
        device_id: "SEEN".into(),
        at_ms: 9_000,
        address: String::new(),
        user_agent: String::new(),
    };
    alice.done(UserCommand::NoteDevicesSeen(vec![sighting]));
    let suspected = [
        ("NEVER", 10),
        ("LATER", 6_000),
        ("SEEN", 10),
        ("DRY", 10),
        ("GONE", 10),
    ];
    let sweep = administer(AdminDecision::RemoveStaleDevices {
        suspected: suspected
            .map(|(name, at_ms)| (name.to_owned(), at_ms))
            .to_vec(),
        since_ms: 5_000,
    });
    assert_eq!(alice.done(sweep.clone()), 1);
    let gone = UserRecord::DeviceRemoved("NEVER".to_owned());
    assert_eq!(alice.log.last(), Some(&gone));
    assert_eq!(alice.done(sweep), 0);
}

#[test]
fn an_administrator_gets_a_session_of_a_user() {
    let mut alice = Trial::with_devices(&[]);
    let made = || administer(AdminDecision::AddDevice("MADE".into()));
    assert_eq!(alice.done(made()), 1);
    assert_eq!(alice.done(made()), 0);
    let endless = administer(AdminDecision::LogIn { until_ms: None });
    let session = logged_in(alice.run(endless));
    let found = alice.session(&session.access_token).unwrap();
    assert_eq!(found.expires_ms, None);
    let short = administer(AdminDecision::LogIn {
        until_ms: Some(1_000_001),
    });
    let session = logged_in(alice.run(short));
    assert!(alice.session(&session.access_token).is_ok());
    alice.wait_ms(1);
    let ended = UserError::UnknownToken { soft_logout: true };
    assert_eq!(alice.session(&session.access_token), Err(ended));
    alice.done(UserCommand::SetLocked(true));
    let locked = administer(AdminDecision::LogIn { until_ms: None });
    assert_eq!(alice.refused(locked), UserError::Locked);
}

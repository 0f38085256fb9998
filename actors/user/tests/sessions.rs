//! Accounts, logins and their ends.

use playhouse_schema::record::user::{RateOverride, UserRecord};

use super::trial::{Trial, logged_in, login, register};
use crate::user::{
    error::UserError,
    message::{AdminDecision, DeviceSighting, UserCommand, UserReply},
    token::TokenHash,
};

const ENDED: UserError = UserError::UnknownToken { soft_logout: false };

fn refresh(token: &str) -> UserCommand {
    UserCommand::Refresh {
        refresh_token: token.to_owned(),
    }
}

fn confirm(token: &str) -> UserCommand {
    UserCommand::ConfirmRefresh {
        access_hash: TokenHash::of(token).as_bytes().to_vec(),
    }
}

#[test]
fn a_name_is_taken_for_ever() {
    let mut alice = Trial::with_devices(&[]);
    let again = || UserCommand::Register(Box::new(register()));
    assert_eq!(alice.refused(again()), UserError::UserInUse);
    alice.done(UserCommand::Deactivate { erase: false });
    assert_eq!(alice.refused(again()), UserError::UserInUse);
    assert_eq!(
        alice.refused(UserCommand::Login(login(None, false))),
        UserError::Deactivated
    );
}

#[test]
fn registering_can_log_in_at_once() {
    let mut alice = Trial::nobody();
    let mut command = register();
    command.login = Some(login(None, false));
    let session = logged_in(alice.run(UserCommand::Register(Box::new(command))));
    let found = alice.session(&session.access_token).unwrap();
    assert_eq!(found.device_id, Some(session.device_id));
    assert_eq!(
        &**alice.user.profile_field("displayname").unwrap(),
        "\"Alice\""
    );
}

#[test]
fn unregistered_users_are_unknown() {
    let mut nobody = Trial::nobody();
    let command = UserCommand::Login(login(None, false));
    assert_eq!(nobody.refused(command), UserError::UnknownUser);
    assert_eq!(nobody.session("pht_x").unwrap_err(), ENDED);
}

#[test]
fn logging_in_again_ends_older_tokens_and_keeps_the_name() {
    let mut alice = Trial::with_devices(&[]);
    let first = alice.login("PHONE");
    let mut again = login(Some("PHONE"), true);
    again.display_name = Some("other".to_owned());
    let second = alice.log_in(again);
    assert_eq!(alice.session(&first.access_token).unwrap_err(), ENDED);
    assert!(alice.session(&second.access_token).is_ok());
    let device = alice.user.device("PHONE".into()).unwrap();
    assert_eq!(device.display_name.as_deref(), Some("phone"));
}

#[test]
fn an_expired_token_asks_for_a_soft_logout() {
    let mut alice = Trial::with_devices(&[]);
    let session = alice.log_in(login(None, true));
    alice.wait_ms(999);
    assert!(alice.session(&session.access_token).is_ok());
    alice.wait_ms(1);
    assert_eq!(
        alice.session(&session.access_token).unwrap_err(),
        UserError::UnknownToken { soft_logout: true }
    );
}

#[test]
fn a_refresh_token_lives_until_its_successor_is_used() {
    let mut alice = Trial::with_devices(&[]);
    let first = alice.log_in(login(None, true));
    let old = first.refresh_token.unwrap();
    let lost = logged_in(alice.run(refresh(&old)));
    let second = logged_in(alice.run(refresh(&old)));
    assert_eq!(alice.session(&lost.access_token).unwrap_err(), ENDED);
    assert!(alice.session(&first.access_token).is_ok());
    assert!(
        alice
            .session(&second.access_token)
            .unwrap()
            .confirms_refresh
    );

    alice.done(confirm(&second.access_token));
    assert!(
        !alice
            .session(&second.access_token)
            .unwrap()
            .confirms_refresh
    );
    assert_eq!(alice.session(&first.access_token).unwrap_err(), ENDED);
    assert_eq!(alice.refused(refresh(&old)), ENDED);
    assert_eq!(alice.done(confirm(&second.access_token)), 0);
}

#[test]
fn using_the_new_refresh_token_ends_the_old_one() {
    let mut alice = Trial::with_devices(&[]);
    let old = alice.log_in(login(None, true)).refresh_token.unwrap();
    let second = logged_in(alice.run(refresh(&old)));
    let third = logged_in(alice.run(refresh(&second.refresh_token.unwrap())));
    assert_eq!(alice.refused(refresh(&old)), ENDED);
    assert!(alice.session(&third.access_token).is_ok());
    assert_eq!(third.device_id, second.device_id);
}

#[test]
fn removed_devices_lose_their_sessions() {
    let mut alice = Trial::with_devices(&[]);
    let (one, two) = (alice.login("ONE"), alice.login("TWO"));
    alice.done(UserCommand::RemoveDevices {
        device_ids: vec!["ONE".into(), "ONE".into(), "NONE".into()],
    });
    assert_eq!(
        alice.log.last(),
        Some(&UserRecord::DeviceRemoved("ONE".to_owned()))
    );
    assert_eq!(alice.session(&one.access_token).unwrap_err(), ENDED);
    assert!(alice.session(&two.access_token).is_ok());
    alice.done(UserCommand::RemoveAllDevices { except: None });
    assert_eq!(alice.session(&two.access_token).unwrap_err(), ENDED);
}

#[test]
fn a_new_password_can_end_other_sessions() {
    let mut alice = Trial::with_devices(&[]);
    let (one, two) = (alice.login("ONE"), alice.login("TWO"));
    alice.done(UserCommand::SetPassword {
        password_hash: Some("new".to_owned()),
        logout_except: Some(Some("TWO".into())),
    });
    assert!(alice.session(&one.access_token).is_err());
    assert!(alice.session(&two.access_token).is_ok());
    let account = alice.user.account_answer().unwrap();
    assert_eq!(account.password_hash.as_deref(), Some("new"));
}

#[test]
fn a_locked_account_keeps_its_sessions_for_later() {
    let mut alice = Trial::with_devices(&[]);
    let session = alice.login("ONE");
    alice.done(UserCommand::SetLocked(true));
    assert_eq!(alice.done(UserCommand::SetLocked(true)), 0);
    assert!(alice.session(&session.access_token).unwrap().locked);
    assert_eq!(
        alice.refused(UserCommand::Login(login(None, false))),
        UserError::Locked
    );
    alice.done(UserCommand::SetLocked(false));
    assert!(!alice.session(&session.access_token).unwrap().locked);
    alice.done(UserCommand::SetSuspended(true));
    alice.done(UserCommand::SetAdmin(true));
    let session = alice.session(&session.access_token).unwrap();
    assert!(session.suspended && session.admin);
}

#[test]
fn deactivation_leaves_only_the_name() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let session = alice.login("TWO");
    alice.done(UserCommand::Deactivate { erase: false });
    assert_eq!(alice.session(&session.access_token).unwrap_err(), ENDED);
    assert!(alice.user.devices.is_empty() && alice.user.profile.is_empty());
    let account = alice.user.account_answer().unwrap();
    assert!(account.deactivated && account.password_hash.is_none());
    assert_eq!(alice.done(UserCommand::Deactivate { erase: false }), 0);
    assert_eq!(alice.done(UserCommand::Deactivate { erase: true }), 1);
    assert!(alice.user.account.as_ref().unwrap().erased);
}

fn reopen(hash: Option<&str>) -> UserCommand {
    UserCommand::Reopen {
        password_hash: hash.map(str::to_owned),
    }
}

#[test]
fn a_closed_account_is_opened_empty() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let before = alice.login("TWO");
    alice.done(UserCommand::SetAdmin(true));
    assert_eq!(alice.done(reopen(Some("new"))), 0);
    alice.done(UserCommand::Deactivate { erase: true });
    alice.wait_ms(5);
    let answer = alice.run(reopen(Some("new")));
    assert!(matches!(answer, Ok(UserReply::Count(1))));
    let account = alice.user.account_answer().unwrap();
    assert!(!account.deactivated && !account.erased && !account.admin);
    assert_eq!(account.password_hash.as_deref(), Some("new"));
    assert_eq!(account.reopened_ms, Some(1_000_005));
    assert!(alice.user.devices.is_empty() && alice.user.profile.is_empty());
    assert_eq!(alice.session(&before.access_token).unwrap_err(), ENDED);
    // Again nothing happens, and least of all to the password.
    let answer = alice.run(reopen(Some("other")));
    assert!(matches!(answer, Ok(UserReply::Count(0))));
    let account = alice.user.account_answer().unwrap();
    assert_eq!(account.password_hash.as_deref(), Some("new"));
    let after = alice.login("TWO");
    assert!(alice.session(&after.access_token).is_ok());
    assert_eq!(alice.session(&before.access_token).unwrap_err(), ENDED);
    let again = UserCommand::Register(Box::new(register()));
    assert_eq!(alice.refused(again), UserError::UserInUse);
    assert_eq!(alice.done(UserCommand::Deactivate { erase: false }), 1);
    assert_eq!(alice.session(&after.access_token).unwrap_err(), ENDED);
    assert!(!alice.user.account.as_ref().unwrap().erased);
    assert_eq!(
        Trial::nobody().refused(reopen(None)),
        UserError::UnknownUser
    );
}

#[test]
fn what_was_decided_of_an_account_outlives_its_end() {
    let mut alice = Trial::with_devices(&[]);
    let rate = RateOverride {
        per_second: 1,
        burst: 2,
    };
    for decision in [
        AdminDecision::SetShadowBanned(true),
        AdminDecision::SetUserType(Some("bot".to_owned())),
        AdminDecision::SetRateOverride(Some(rate)),
    ] {
        alice.done(UserCommand::Administer(decision));
    }
    alice.done(UserCommand::SetLocked(true));
    alice.done(UserCommand::SetSuspended(true));
    alice.done(UserCommand::SetValidity(7));
    alice.done(UserCommand::Deactivate { erase: false });
    alice.limits.account_period_ms = Some(1_000);
    assert_eq!(alice.done(reopen(None)), 2);
    let account = alice.user.account_answer().unwrap();
    assert!(account.locked && account.suspended && account.shadow_banned);
    assert_eq!(
        (account.user_type.as_deref(), account.rate),
        (Some("bot"), Some(rate))
    );
    assert_eq!(account.valid_until_ms, Some(1_001_000));
    assert_eq!(account.password_hash, None);
}

#[test]
fn what_was_to_be_erased_goes_although_the_account_is_open_again() {
    let mut alice = Trial::with_devices(&[]);
    let erase = |sequences: &[u64]| {
        let records = sequences
            .iter()
            .map(|sequence| (*sequence, UserRecord::Erased));
        UserCommand::EraseHistory(records.collect())
    };
    let judged = |alice: &Trial, command| {
        let decision = alice.user.judge(command, &alice.env, &alice.limits);
        decision.map(|decision| decision.erasures.len())
    };
    alice.done(UserCommand::Deactivate { erase: false });
    assert!(judged(&alice, erase(&[1])).is_err());
    alice.done(UserCommand::Deactivate { erase: true });
    let end = alice.user.sequence;
    alice.done(reopen(None));
    alice.login("ONE");
    let newest = alice.user.sequence;
    assert_eq!(judged(&alice, erase(&[1, end, end + 1, newest])), Ok(2));
}

#[test]
fn devices_are_renamed_and_seen() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let rename = |device_id: &str, name: Option<&str>| UserCommand::RenameDevice {
        device_id: device_id.into(),
        display_name: name.map(str::to_owned),
    };
    assert_eq!(alice.done(rename("ONE", Some("laptop"))), 1);
    assert_eq!(alice.done(rename("ONE", None)), 0);
    assert_eq!(alice.refused(rename("TWO", Some("x"))), UserError::NotFound);
    let seen = |at_ms| {
        UserCommand::NoteDevicesSeen(vec![DeviceSighting {
            device_id: "ONE".into(),
            at_ms,
            address: "192.0.2.1".to_owned(),
            user_agent: "é".repeat(200),
        }])
    };
    assert_eq!(alice.done(seen(100_000)), 1);
    assert_eq!(alice.done(seen(100_001)), 0);
    assert_eq!(alice.done(seen(160_000)), 1);
    let devices = alice.user.devices_answer(None).unwrap();
    assert_eq!(devices[0].display_name.as_deref(), Some("laptop"));
    assert_eq!(devices[0].last_seen_ms, Some(160_000));
}

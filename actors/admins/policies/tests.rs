//! Policies are written down, applied and taken back.

use playhouse_schema::record::admin::PolicyAction;

use super::*;

fn rule(inviter: Option<&str>) -> PolicyRule {
    PolicyRule {
        action: PolicyAction::RejectInvites,
        inviter: inviter.map(ToOwned::to_owned),
        inviter_server: None,
        room_id: None,
        room_name: None,
        user_id: None,
        age_min_ms: None,
        age_max_ms: None,
    }
}

fn save(name: &str, rule: PolicyRule) -> PolicyCommand {
    PolicyCommand::Save {
        name: name.to_owned(),
        rule: Box::new(rule),
        by: "@boss:b".to_owned(),
    }
}

fn begin(pattern: &str, users: &[&str]) -> PolicyCommand {
    PolicyCommand::Begin {
        name: "spam".to_owned(),
        rule: Box::new(rule(Some(pattern))),
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        tells_servers: false,
        by: "@boss:b".to_owned(),
    }
}

fn done(policies: &mut Policies, command: PolicyCommand) -> PolicyReply {
    let (record, reply) = policies.judge(command, 7).expect("it is done");
    if let Some(record) = record {
        policies.apply(policies.newest + 1, 1, &record);
    }
    reply
}

#[test]
fn a_run_that_did_not_end_goes_on() {
    let mut policies = Policies::default();
    done(&mut policies, save("spam", rule(Some("@spam*"))));
    let PolicyReply::Run(run, _) = done(&mut policies, begin("@spam*", &["@a:b"])) else {
        panic!("a run begins");
    };
    assert_eq!(run, 2);
    let again = done(&mut policies, begin("@spam*", &["@c:b"]));
    let both = BTreeSet::from(["@a:b".to_owned(), "@c:b".to_owned()]);
    assert_eq!(again, PolicyReply::Run(run, both.clone()));
    let told = policies.tell(PolicyQuery::Run(run)).expect("a run");
    assert_eq!(told.runs[0].users, both);
    // Lists only count.
    let told = policies.tell(PolicyQuery::All).expect("a list");
    assert_eq!((told.runs[0].users.len(), told.runs[0].user_count), (0, 2));
    done(&mut policies, PolicyCommand::End { run, invites: 3 });
    let PolicyReply::Run(next, _) = done(&mut policies, begin("@spam*", &["@a:b"])) else {
        panic!("another run begins");
    };
    assert!(next > run);
    let by = "@boss:b".to_owned();
    done(&mut policies, PolicyCommand::Undo { run, by });
    let told = policies.tell(PolicyQuery::Run(run)).expect("a run");
    assert_eq!(told.runs[0].undone_by.as_deref(), Some("@boss:b"));
    assert!(told.runs[0].users.is_empty());
    // Whoever still goes on with it hears of that at the end.
    let late = policies.judge(PolicyCommand::End { run, invites: 3 }, 7);
    assert_eq!(late.map(|_| ()), Err(AdminError::ChangedSince));
    let by = "@boss:b".to_owned();
    let twice = policies.judge(PolicyCommand::Undo { run, by }, 7);
    assert_eq!(twice, Ok((None, PolicyReply::Done)));
    // A rule that was written anew is not the one that was looked at.
    done(&mut policies, save("spam", rule(Some("@other*"))));
    let refused = policies.judge(begin("@spam*", &["@a:b"]), 7);
    assert_eq!(refused.map(|_| ()), Err(AdminError::ChangedSince));
    let name = "spam".to_owned();
    let by = "@boss:b".to_owned();
    done(&mut policies, PolicyCommand::Delete { name, by });
    let told = policies.tell(PolicyQuery::One("spam".to_owned()));
    assert_eq!(told.map(|told| told.runs.len()), Ok(2));
    assert!(policies.tell(PolicyQuery::One("other".to_owned())).is_err());
    let snapshot = Snapshot {
        sequence: policies.newest,
        version: Policies::SNAPSHOT_VERSION,
        payload: policies.to_snapshot(),
    };
    let entity = Entity::house("policies");
    let woken = Policies::from_snapshot(&entity, &snapshot);
    assert_eq!(woken, Some(policies));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let policies = Policies::default();
    let fits = |name: &str, rule: PolicyRule| policies.judge(save(name, rule), 7).is_ok();
    assert!(fits("spam-2026.1", rule(Some("*"))));
    let long = "x".repeat(65);
    for name in ["", ".", "a b", "a/b", long.as_str()] {
        assert!(!fits(name, rule(Some("*"))), "{name}");
    }
    assert!(!fits("spam", rule(None)) && !fits("spam", rule(Some(""))));
    assert!(!fits("spam", rule(Some(&"x".repeat(256)))));
    let aged = |min, max| PolicyRule {
        age_min_ms: Some(min),
        age_max_ms: Some(max),
        ..rule(None)
    };
    assert!(fits("spam", aged(1, 2)) && !fits("spam", aged(2, 1)));
}

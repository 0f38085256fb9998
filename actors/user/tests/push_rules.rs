//! Push rules.

use ruma::push::{Action, NewConditionalPushRule, NewPatternedPushRule, RuleKind};

use super::trial::Trial;
use crate::user::{PushRule, PushRuleChange, UserCommand, UserError};

fn change(change: PushRuleChange) -> UserCommand {
    UserCommand::ChangePushRules(Box::new(change))
}

fn word(rule_id: &str, before: Option<&str>, after: Option<&str>) -> UserCommand {
    let rule =
        NewPatternedPushRule::new(rule_id.to_owned(), rule_id.to_owned(), vec![Action::Notify]);
    change(PushRuleChange::Put {
        rule: PushRule::Content(rule),
        before: before.map(ToOwned::to_owned),
        after: after.map(ToOwned::to_owned),
    })
}

fn words(trial: &Trial) -> Vec<String> {
    let rules = trial.user.push_rules();
    let own = rules.content.iter().filter(|rule| !rule.default);
    own.map(|rule| rule.rule_id.clone()).collect()
}

fn enable(kind: RuleKind, rule_id: &str, enabled: bool) -> UserCommand {
    change(PushRuleChange::Enable {
        kind,
        rule_id: rule_id.to_owned(),
        enabled,
    })
}

fn remove(kind: RuleKind, rule_id: &str) -> UserCommand {
    change(PushRuleChange::Remove {
        kind,
        rule_id: rule_id.to_owned(),
    })
}

#[test]
fn rules_are_placed_as_asked() {
    let mut alice = Trial::with_devices(&[]);
    assert_eq!(alice.done(word("a", None, None)), 1);
    alice.done(word("b", None, None));
    assert_eq!(words(&alice), ["b", "a"]);
    alice.done(word("c", Some("a"), None));
    alice.done(word("d", None, Some("a")));
    assert_eq!(words(&alice), ["b", "c", "a", "d"]);
    alice.done(word("b", None, Some("d")));
    assert_eq!(words(&alice), ["c", "a", "d", "b"]);
    let misplaced = alice.refused(word("e", Some("nobody"), None));
    assert!(matches!(misplaced, UserError::Misplaced(_)));
    for wrong in [
        word(".e", None, None),
        word("e/f", None, None),
        word("e\\f", None, None),
        word("", None, None),
        word("e", Some(".m.rule.contains_user_name"), None),
        word("c", Some("c"), None),
    ] {
        let error = alice.refused(wrong);
        assert!(matches!(error, UserError::InvalidParam(_)), "{error:?}");
    }
    assert_eq!(words(&alice), ["c", "a", "d", "b"]);
}

#[test]
fn nothing_comes_before_the_master_rule() {
    let mut alice = Trial::with_devices(&[]);
    let rule = NewConditionalPushRule::new("mine".to_owned(), Vec::new(), Vec::new());
    alice.done(change(PushRuleChange::Put {
        rule: PushRule::Override(rule),
        before: None,
        after: None,
    }));
    let rules = alice.user.push_rules();
    let first: Vec<_> = rules.override_.iter().take(2).collect();
    assert_eq!(first[0].rule_id, ".m.rule.master");
    assert_eq!(first[1].rule_id, "mine");
}

#[test]
fn own_rules_go_and_the_servers_stay() {
    let mut alice = Trial::with_devices(&[]);
    alice.done(word("a", None, None));
    assert_eq!(alice.done(remove(RuleKind::Content, "a")), 1);
    assert!(words(&alice).is_empty());
    let gone = alice.refused(remove(RuleKind::Content, "a"));
    assert_eq!(gone, UserError::NotFound);
    let stays = alice.refused(remove(RuleKind::Override, ".m.rule.master"));
    assert!(matches!(stays, UserError::InvalidParam(_)));
    let unknown = alice.refused(remove("nonsense".into(), "a"));
    assert!(matches!(unknown, UserError::InvalidParam(_)));
}

#[test]
fn all_rules_can_be_switched_and_told_what_to_do() {
    let mut alice = Trial::with_devices(&[]);
    let master = || enable(RuleKind::Override, ".m.rule.master", true);
    assert_eq!(alice.done(master()), 1);
    assert_eq!(alice.done(master()), 0, "nothing new is not written");
    let rules = alice.user.push_rules();
    assert!(rules.override_.iter().next().unwrap().enabled);
    let act = |rule_id: &str| {
        change(PushRuleChange::Act {
            kind: RuleKind::Underride,
            rule_id: rule_id.to_owned(),
            actions: Vec::new(),
        })
    };
    alice.done(act(".m.rule.message"));
    let rules = alice.user.push_rules();
    let rule = rules.get(RuleKind::Underride, ".m.rule.message").unwrap();
    assert!(rule.actions().is_empty());
    assert_eq!(alice.refused(act("none")), UserError::NotFound);
    // A rule that is replaced stays switched off.
    alice.done(word("a", None, None));
    alice.done(enable(RuleKind::Content, "a", false));
    alice.done(word("a", None, None));
    let rules = alice.user.push_rules();
    assert!(!rules.content.get("a").unwrap().enabled);
}

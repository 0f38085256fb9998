//! Change the push rules (client-server API, "Push Rules"). They are the global account data `m.push_rules`.

use ruma::push::{InsertPushRuleError, NewPushRule, RemovePushRuleError, RuleKind, Ruleset};

use super::{
    context::UserLimits,
    error::UserError,
    message::UserReply,
    push_rule_change::PushRuleChange,
    set_account_data,
    state::User,
    view::{PUSH_RULES, push_rules_json},
};
use crate::kernel::Decision;

const RULE_ID_BYTES_MAX: usize = 255;

pub(super) fn decide(
    user: &User,
    change: PushRuleChange,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let mut rules = Ruleset::clone(&user.push_rules());
    change_rules(&mut rules, change)?;
    let content = push_rules_json(&rules).to_string();
    let known = user.account_data_json(None, PUSH_RULES);
    if known.is_some_and(|known| known == content) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    set_account_data::decide(user, (None, PUSH_RULES.to_owned()), Some(content), limits)
}

fn change_rules(rules: &mut Ruleset, change: PushRuleChange) -> Result<(), UserError> {
    match change {
        PushRuleChange::Put {
            rule,
            before,
            after,
        } => {
            let rule = rule.into_new();
            if rule.rule_id().is_empty() || rule.rule_id().len() > RULE_ID_BYTES_MAX {
                return Err(UserError::InvalidParam(
                    "rule ID must have 1 to 255 bytes".to_owned(),
                ));
            }
            let anchor = before.as_deref().or(after.as_deref());
            if anchor == Some(rule.rule_id()) {
                return Err(UserError::InvalidParam(
                    "a rule cannot be placed relative to itself".to_owned(),
                ));
            }
            put(rules, rule, (before.as_deref(), after.as_deref()))
        }
        PushRuleChange::Remove { kind, rule_id } => {
            rules
                .remove(known(kind)?, rule_id)
                .map_err(|error| match error {
                    RemovePushRuleError::NotFound => UserError::NotFound,
                    error => UserError::InvalidParam(error.to_string()),
                })
        }
        PushRuleChange::Enable {
            kind,
            rule_id,
            enabled,
        } => rules
            .set_enabled(known(kind)?, rule_id, enabled)
            .map_err(|_| UserError::NotFound),
        PushRuleChange::Act {
            kind,
            rule_id,
            actions,
        } => rules
            .set_actions(known(kind)?, rule_id, actions)
            .map_err(|_| UserError::NotFound),
    }
}

/// Makes or replaces a rule.
fn put(
    rules: &mut Ruleset,
    rule: NewPushRule,
    (before, after): (Option<&str>, Option<&str>),
) -> Result<(), UserError> {
    let (kind, rule_id) = (rule.kind(), rule.rule_id().to_owned());
    let moves = before.or(after).is_some() && !rule_id.starts_with('.');
    let known = rules.get(kind.clone(), &rule_id).filter(|_| moves);
    let enabled = known.map(|known| known.enabled());
    if enabled.is_some() {
        // Moving a rule towards the end is beyond ruma, which panics: it goes and comes again.
        rules
            .remove(kind.clone(), &rule_id)
            .map_err(|error| UserError::InvalidParam(error.to_string()))?;
    }
    rules.insert(rule, after, before).map_err(not_inserted)?;
    if let Some(enabled) = enabled {
        rules
            .set_enabled(kind, &rule_id, enabled)
            .map_err(|_| UserError::NotFound)?;
    }
    Ok(())
}

/// A kind that there is.
fn known(kind: RuleKind) -> Result<RuleKind, UserError> {
    match kind {
        RuleKind::Override
        | RuleKind::Underride
        | RuleKind::Sender
        | RuleKind::Room
        | RuleKind::Content => Ok(kind),
        kind => Err(UserError::InvalidParam(format!(
            "there are no push rules of the kind {kind}"
        ))),
    }
}

fn not_inserted(error: InsertPushRuleError) -> UserError {
    match error {
        InsertPushRuleError::UnknownRuleId | InsertPushRuleError::BeforeHigherThanAfter => {
            UserError::Misplaced(error.to_string())
        }
        error => UserError::InvalidParam(error.to_string()),
    }
}

//! What can be changed about push rules.

use ruma::{
    OwnedRoomId, OwnedUserId,
    push::{
        Action, NewConditionalPushRule, NewPatternedPushRule, NewPushRule, NewSimplePushRule,
        RuleKind,
    },
};
use serde::{Deserialize, Serialize};

use crate::kernel::parcel::json_text;

/// A change of the push rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PushRuleChange {
    /// Make a rule, or replace one of the same kind and ID.
    Put {
        /// The rule.
        #[serde(with = "json_text")]
        rule: PushRule,
        /// Place it right before this rule of the user's own.
        before: Option<String>,
        /// Place it right after this rule of the user's own.
        after: Option<String>,
    },
    /// Remove a rule; the server's own stay.
    Remove {
        /// Its kind.
        kind: RuleKind,
        /// Its ID.
        rule_id: String,
    },
    /// Switch a rule on or off.
    Enable {
        /// Its kind.
        kind: RuleKind,
        /// Its ID.
        rule_id: String,
        /// On.
        enabled: bool,
    },
    /// Say what a rule does.
    Act {
        /// Its kind.
        kind: RuleKind,
        /// Its ID.
        rule_id: String,
        /// What it does.
        #[serde(with = "json_text")]
        actions: Vec<Action>,
    },
}

/// A rule of the user's own, in a form that can be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PushRule {
    /// Before all others.
    Override(NewConditionalPushRule),
    /// About words.
    Content(NewPatternedPushRule),
    /// About a room.
    Room(NewSimplePushRule<OwnedRoomId>),
    /// About a sender.
    Sender(NewSimplePushRule<OwnedUserId>),
    /// After all others.
    Underride(NewConditionalPushRule),
}

impl PushRule {
    /// `None` for a kind that is not in the specification.
    pub fn from_new(rule: NewPushRule) -> Option<Self> {
        match rule {
            NewPushRule::Override(rule) => Some(Self::Override(rule)),
            NewPushRule::Content(rule) => Some(Self::Content(rule)),
            NewPushRule::Room(rule) => Some(Self::Room(rule)),
            NewPushRule::Sender(rule) => Some(Self::Sender(rule)),
            NewPushRule::Underride(rule) => Some(Self::Underride(rule)),
            _ => None,
        }
    }

    pub(super) fn into_new(self) -> NewPushRule {
        match self {
            Self::Override(rule) => NewPushRule::Override(rule),
            Self::Content(rule) => NewPushRule::Content(rule),
            Self::Room(rule) => NewPushRule::Room(rule),
            Self::Sender(rule) => NewPushRule::Sender(rule),
            Self::Underride(rule) => NewPushRule::Underride(rule),
        }
    }
}

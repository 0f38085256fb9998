//! Whose invites a user wants (client-server API, "Invite permission"; MSC4155 for the lists; MSC4380 for what came before it).

use ruma::{ServerName, UserId};
use serde::{Deserialize, Serialize};

use super::state::User;
use crate::room::acl::fits;

/// The account data in which users say it.
const STABLE: &str = "m.invite_permission_config";

/// What clients said before there were lists in the specification.
const LISTS: &str = "org.matrix.msc4155.invite_permission_config";

/// What clients said before there was a switch in the specification.
const SWITCH: &str = "org.matrix.msc4380.invite_permission_config";

/// What becomes of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InviteVerdict {
    /// The user sees it.
    Allow,
    /// The inviter does not notice, and the user never sees it.
    Ignore,
    /// The inviter is told that it is not wanted.
    Block,
    /// The same, said in the words of MSC4155: so the inviter is told in its words too.
    BlockByList,
}

#[derive(Deserialize)]
#[serde(default)]
struct Config {
    enabled: bool,
    default_action: serde_json::Value,
    block_all: bool,
    allowed_users: Vec<String>,
    ignored_users: Vec<String>,
    blocked_users: Vec<String>,
    allowed_servers: Vec<String>,
    ignored_servers: Vec<String>,
    blocked_servers: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            default_action: serde_json::Value::Null,
            block_all: false,
            allowed_users: Vec::new(),
            ignored_users: Vec::new(),
            blocked_users: Vec::new(),
            allowed_servers: Vec::new(),
            ignored_servers: Vec::new(),
            blocked_servers: Vec::new(),
        }
    }
}

impl Config {
    fn judge(&self, inviter: &UserId) -> InviteVerdict {
        use InviteVerdict::{Allow, Block, Ignore};
        if !self.enabled {
            return Allow;
        }
        let user = inviter.as_str();
        let server = host(inviter.server_name());
        let steps = [
            (&self.allowed_users, user, Allow),
            (&self.ignored_users, user, Ignore),
            (&self.blocked_users, user, Block),
            (&self.allowed_servers, server, Allow),
            (&self.ignored_servers, server, Ignore),
            (&self.blocked_servers, server, Block),
        ];
        let found = steps
            .into_iter()
            .find(|(globs, text, _)| globs.iter().any(|glob| fits(glob, text)));
        match found {
            Some((_, _, verdict)) => verdict,
            None if self.default_action == "block" || self.block_all => Block,
            None => Allow,
        }
    }
}

/// A server name without its port.
fn host(server_name: &ServerName) -> &str {
    server_name.host()
}

impl User {
    /// What becomes of somebody's invite. What does not make sense in a user's settings says nothing.
    pub fn judge_invite(&self, inviter: &UserId) -> InviteVerdict {
        if self.ignored().contains(inviter) {
            return InviteVerdict::Ignore;
        }
        let verdicts = [STABLE, SWITCH, LISTS].map(|event_type| {
            let config = self.account_data.json(None, event_type);
            let config = config.and_then(|json| serde_json::from_str::<Config>(json).ok());
            let verdict = config.map(|config| config.judge(inviter));
            match verdict {
                Some(InviteVerdict::Block) if event_type == LISTS => InviteVerdict::BlockByList,
                Some(verdict) => verdict,
                None => InviteVerdict::Allow,
            }
        });
        // What the specification says is told in its words, whatever else forbids the invite.
        if verdicts.contains(&InviteVerdict::Block) {
            return InviteVerdict::Block;
        }
        verdicts.into_iter().max().unwrap_or(InviteVerdict::Allow)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("", "a", false),
            ("*.org", "good.org", true),
            ("*.org", "good.org.net", false),
            ("g??d.org", "good.org", true),
            ("g?d.org", "good.org", false),
            ("@*:a*b", "@x:axxb", true),
            ("GOOD.org", "good.ORG", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn users_come_before_servers_and_permission_before_refusal() {
        let config: Config = serde_json::from_str(
            r#"{"allowed_users":["@good:bad.org"],"ignored_users":["@shy:*"],"blocked_users":["@evil:*"],
                "allowed_servers":["good.org"],"ignored_servers":["worse.org"],"blocked_servers":["*"]}"#,
        )
        .expect("a config");
        for (inviter, wanted) in [
            (user_id!("@good:bad.org"), InviteVerdict::Allow),
            (user_id!("@shy:good.org"), InviteVerdict::Ignore),
            (user_id!("@evil:good.org"), InviteVerdict::Block),
            (user_id!("@a:good.org:8448"), InviteVerdict::Allow),
            (user_id!("@a:worse.org"), InviteVerdict::Ignore),
            (user_id!("@a:bad.org"), InviteVerdict::Block),
        ] {
            assert_eq!(config.judge(inviter), wanted, "{inviter}");
        }
    }

    #[test]
    fn a_switch_blocks_all_and_can_be_overruled() {
        let anybody = user_id!("@a:b");
        for (json, wanted) in [
            ("{}", InviteVerdict::Allow),
            (r#"{"default_action":"block"}"#, InviteVerdict::Block),
            (r#"{"default_action":"dance"}"#, InviteVerdict::Allow),
            (r#"{"default_action":5}"#, InviteVerdict::Allow),
            (r#"{"block_all":true}"#, InviteVerdict::Block),
            (
                r#"{"default_action":"block","allowed_servers":["b"]}"#,
                InviteVerdict::Allow,
            ),
            (
                r#"{"enabled":false,"blocked_servers":["*"]}"#,
                InviteVerdict::Allow,
            ),
        ] {
            let config: Config = serde_json::from_str(json).expect("a config");
            assert_eq!(config.judge(anybody), wanted, "{json}");
        }
    }
}

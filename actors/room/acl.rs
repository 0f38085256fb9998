//! Server access control lists (client-server API, "Server Access Control Lists (ACLs) for rooms").

use ruma::{ServerName, events::StateEventType};
use serde::Deserialize;
use serde_json::Value as JsonValue;

use super::state::Room;

/// The content, of which what makes no sense counts as absent.
#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    allow_ip_literals: JsonValue,
    #[serde(default)]
    allow: JsonValue,
    #[serde(default)]
    deny: JsonValue,
}

/// Whether the content of an `m.room.server_acl` event lets a server take part. The port does not count.
pub fn is_allowed(content: &str, server_name: &ServerName) -> bool {
    let content: Content = serde_json::from_str(content).unwrap_or_default();
    if content.allow_ip_literals.as_bool() == Some(false) && server_name.is_ip_literal() {
        return false;
    }
    !names(&content.deny, server_name.host()) && names(&content.allow, server_name.host())
}

/// Whether a room's list lets a server take part. Without a list everybody may.
pub fn admits(room: &Room, server_name: &ServerName) -> bool {
    room.state_event(&StateEventType::RoomServerAcl, "")
        .is_none_or(|event| is_allowed(event.pdu.content_json(), server_name))
}

fn names(list: &JsonValue, host: &str) -> bool {
    let patterns = list.as_array().into_iter().flatten();
    patterns
        .filter_map(JsonValue::as_str)
        .any(|pattern| fits(pattern, host))
}

/// Whether a text fits a pattern in which `*` stands for any characters and `?` for one (appendices, "Glob-style matching"). Case does not count.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and how much of the text it covers.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match &mut star {
                Some((star_at, covered)) => {
                    *covered += 1;
                    (at, read) = (*star_at + 1, *covered);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(content: &JsonValue, server_name: &str) -> bool {
        let server_name = <&ServerName>::try_from(server_name).unwrap();
        is_allowed(&content.to_string(), server_name)
    }

    #[test]
    fn deny_wins_over_allow_and_silence_denies() {
        let content = serde_json::json!({
            "allow": ["*.example.org", "good.org", 7],
            "deny": ["evil.example.org", "*.bad.example.org"],
        });
        for (server_name, wanted) in [
            ("good.org", true),
            ("GOOD.org", true),
            ("a.example.org", true),
            ("a.b.example.org:8448", true),
            ("evil.example.org", false),
            ("Evil.Example.org:443", false),
            ("x.bad.example.org", false),
            ("example.org", false),
            ("verygood.org", false),
        ] {
            assert_eq!(allowed(&content, server_name), wanted, "{server_name}");
        }
    }

    #[test]
    fn patterns_stand_for_the_whole_name() {
        let content = serde_json::json!({"allow": ["*"], "deny": ["e?il.com", "*.*.net"]});
        for (server_name, wanted) in [
            ("evil.com:1234", false),
            ("eil.com", true),
            ("devil.com", true),
            ("evil.com.org", true),
            ("a.b.net", false),
            ("b.net", true),
        ] {
            assert_eq!(allowed(&content, server_name), wanted, "{server_name}");
        }
    }

    #[test]
    fn addresses_are_denied_where_the_list_says_so() {
        let literals = ["1.2.3.4", "1.2.3.4:8448", "[2001:db8::1]", "[::1]:80"];
        for (said, wanted) in [
            (serde_json::json!(false), false),
            (serde_json::json!(true), true),
            (serde_json::json!("no"), true),
            (JsonValue::Null, true),
        ] {
            let content = serde_json::json!({"allow": ["*"], "allow_ip_literals": said});
            for literal in literals {
                assert_eq!(allowed(&content, literal), wanted, "{said} {literal}");
            }
            assert!(allowed(&content, "1.2.3.4.example.org"));
        }
    }

    #[test]
    fn nobody_is_allowed_without_a_list_of_the_allowed() {
        for content in [
            serde_json::json!({}),
            serde_json::json!({"deny": ["evil.com"]}),
            serde_json::json!({"allow": "good.org"}),
        ] {
            assert!(!allowed(&content, "good.org"), "{content}");
        }
    }
}

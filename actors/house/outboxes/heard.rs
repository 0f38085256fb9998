//! Which servers were heard of late that other nodes send to.
//!
//! A server's requests come to any node; whether something waits for it knows only the node that has it as a destination. That one is told of its first
//! request, and of those that follow now and then.

use std::collections::HashMap;

use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};

/// Of each server it is told so often at most, milliseconds.
const TELL_EVERY_MS: u64 = 2_000;

/// So many servers are remembered. Of more, nobody is told until some were silent for a moment.
const REMEMBERED_MAX: usize = 20_000;

/// When another node was last told of each server, milliseconds since the Unix epoch.
#[derive(Default)]
pub(in crate::house) struct Heard(Mutex<HashMap<OwnedServerName, u64>>);

impl Heard {
    /// A server was heard: whether it is time to tell so.
    pub(super) fn is_news(&self, server_name: &ServerName, now_ms: u64) -> bool {
        let is_over = |told_ms: u64| now_ms.saturating_sub(told_ms) >= TELL_EVERY_MS;
        let mut told = self.0.lock();
        if let Some(told_ms) = told.get_mut(server_name) {
            let is_news = is_over(*told_ms);
            if is_news {
                *told_ms = now_ms;
            }
            return is_news;
        }
        if told.len() >= REMEMBERED_MAX {
            told.retain(|_, told_ms| !is_over(*told_ms));
        }
        let has_room = told.len() < REMEMBERED_MAX;
        if has_room {
            told.insert(server_name.to_owned(), now_ms);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn each_is_told_of_at_first_and_then_now_and_then() {
        let heard = Heard::default();
        let [near, far] = [server_name!("near.example"), server_name!("far.example")];
        let told: Vec<_> = (0..50)
            .map(|number| 1_763_838_000_000 + number * 100)
            .filter(|now_ms| heard.is_news(near, *now_ms))
            .map(|now_ms| now_ms - 1_763_838_000_000)
            .collect();
        assert_eq!(told, [0, 2_000, 4_000]);
        assert!(heard.is_news(far, 1_763_838_004_950));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let heard = Heard::default();
        for number in 0..REMEMBERED_MAX {
            let name = OwnedServerName::try_from(format!("s{number}.example"));
            assert!(heard.is_news(&name.expect("a name"), 5_000));
        }
        let late = server_name!("late.example");
        assert!(!heard.is_news(late, 5_000));
        assert!(heard.is_news(late, 7_000));
    }
}

//! Which OAuth clients there are, and how that changes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use imbl::OrdMap;
use playhouse_schema::{
    chain::digest,
    record::oauth::{ClientRegistered, OauthRecord},
};
use serde::{Deserialize, Serialize};

use super::message::{OauthCommand, OauthError, OauthReply};
use crate::kernel::Decision;

/// So many clients are kept.
const CLIENTS_MAX: usize = 10_000;

/// So long may be what a client says of itself.
const METADATA_BYTES_MAX: usize = 8 * 1024;

/// A client that no user let in is forgotten after so long …
const UNUSED_MS: u64 = 24 * 60 * 60 * 1000;

/// … or, when there is no room, after so long.
const UNUSED_WHEN_FULL_MS: u64 = 15 * 60 * 1000;

/// Clients that registered: a fold of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oauth {
    clients: OrdMap<String, Client>,
    bytes: usize,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Client {
    metadata: String,
    at_ms: u64,
    /// A user let it in.
    admitted: bool,
}

impl Oauth {
    /// What a client said of itself.
    pub(super) fn metadata(&self, client_id: &str) -> Option<&str> {
        let client = self.clients.get(client_id)?;
        Some(&client.metadata)
    }

    pub(super) fn weight(&self) -> usize {
        256 + self.bytes + self.clients.len() * 150
    }

    pub(super) fn judge(
        &self,
        command: OauthCommand,
        now_ms: u64,
    ) -> Result<Decision<Self>, OauthError> {
        match command {
            OauthCommand::Register(metadata) => self.register(metadata, now_ms),
            OauthCommand::Admit(client_id) => {
                let client = self.clients.get(&client_id).ok_or(OauthError::Unknown)?;
                let reply = OauthReply(client_id.clone());
                if client.admitted {
                    return Ok(Decision::unchanged(reply));
                }
                let admitted = OauthRecord::ClientAdmitted(client_id);
                Ok(Decision::new(vec![admitted], reply))
            }
        }
    }

    fn register(&self, metadata: String, now_ms: u64) -> Result<Decision<Self>, OauthError> {
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(OauthError::TooLong);
        }
        let client_id = URL_SAFE_NO_PAD.encode(&digest(metadata.as_bytes())[..18]);
        let reply = OauthReply(client_id.clone());
        let mut forgotten = self.unused(now_ms, UNUSED_MS);
        if self.clients.contains_key(&client_id) && !forgotten.contains(&client_id) {
            return Ok(Decision::unchanged(reply));
        }
        if self.clients.len() - forgotten.len() >= CLIENTS_MAX {
            forgotten = self.unused(now_ms, UNUSED_WHEN_FULL_MS);
        }
        if self.clients.len() - forgotten.len() >= CLIENTS_MAX {
            return Err(OauthError::TooMany);
        }
        let mut records = Vec::new();
        if !forgotten.is_empty() {
            records.push(OauthRecord::ClientsForgotten(forgotten));
        }
        records.push(OauthRecord::ClientRegistered(ClientRegistered {
            client_id,
            metadata,
            at_ms: now_ms,
        }));
        Ok(Decision::new(records, reply))
    }

    /// Clients that no user let in for so long.
    fn unused(&self, now_ms: u64, for_ms: u64) -> Vec<String> {
        let unused =
            |client: &Client| !client.admitted && client.at_ms.saturating_add(for_ms) <= now_ms;
        let clients = self.clients.iter().filter(|(_, client)| unused(client));
        clients.map(|(client_id, _)| client_id.clone()).collect()
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, record: &OauthRecord) {
        match record {
            OauthRecord::ClientRegistered(registered) => {
                self.forget(&registered.client_id);
                self.bytes += registered.metadata.len();
                let client = Client {
                    metadata: registered.metadata.clone(),
                    at_ms: registered.at_ms,
                    admitted: false,
                };
                self.clients.insert(registered.client_id.clone(), client);
            }
            OauthRecord::ClientAdmitted(client_id) => {
                if let Some(client) = self.clients.get_mut(client_id) {
                    client.admitted = true;
                }
            }
            OauthRecord::ClientsForgotten(client_ids) => {
                for client_id in client_ids {
                    self.forget(client_id);
                }
            }
        }
    }

    fn forget(&mut self, client_id: &str) {
        if let Some(client) = self.clients.remove(client_id) {
            self.bytes -= client.metadata.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &mut Oauth, command: OauthCommand, now_ms: u64) -> Result<String, OauthError> {
        let decision = state.judge(command, now_ms)?;
        for record in &decision.records {
            state.take_in(record);
        }
        Ok(decision.reply.0)
    }

    fn register(state: &mut Oauth, words: &str, now_ms: u64) -> String {
        let command = OauthCommand::Register(words.to_owned());
        run(state, command, now_ms).expect("a client")
    }

    #[test]
    fn the_same_words_are_the_same_client() {
        let mut state = Oauth::default();
        let one = register(&mut state, "{\"a\":1}", 0);
        assert_eq!(register(&mut state, "{\"a\":1}", 1), one);
        assert_ne!(register(&mut state, "{\"a\":2}", 1), one);
        let long = "x".repeat(METADATA_BYTES_MAX + 1);
        assert_eq!(
            run(&mut state, OauthCommand::Register(long), 1),
            Err(OauthError::TooLong)
        );
    }

    #[test]
    fn who_is_never_let_in_is_forgotten() {
        let mut state = Oauth::default();
        let unused = register(&mut state, "unused", 0);
        let used = register(&mut state, "used", 0);
        run(&mut state, OauthCommand::Admit(used.clone()), 1).expect("known");
        register(&mut state, "later", UNUSED_MS);
        assert_eq!(state.metadata(&unused), None);
        assert_eq!(state.metadata(&used), Some("used"));
        assert_eq!(state.bytes, "used".len() + "later".len());
        let admit = OauthCommand::Admit(unused);
        assert_eq!(run(&mut state, admit, UNUSED_MS), Err(OauthError::Unknown));
    }

    #[test]
    fn clients_are_bounded() {
        let mut state = Oauth::default();
        for count in 0..CLIENTS_MAX {
            register(&mut state, &count.to_string(), 0);
        }
        let one_more = OauthCommand::Register("more".to_owned());
        assert_eq!(
            run(&mut state, one_more.clone(), 1),
            Err(OauthError::TooMany)
        );
        assert!(run(&mut state, one_more, UNUSED_WHEN_FULL_MS).is_ok());
        assert_eq!(state.clients.len(), 1);
    }
}

//! To-device messages and transactions in a user's state.

use playhouse_schema::{
    address::Sequence,
    record::user::{ToDevice, UserRecord},
};

use super::state::{Change, User, text};

/// So many sendings of to-device messages are remembered. Another server that died sends again what it has sent in its last seconds, and once a repeat is older
/// than what is remembered, taking it in pushes out the next one: so it is some seconds of all that can come for one user.
const RECEIVED_MAX: usize = 4_096;

impl User {
    pub(super) fn fold_messages(&mut self, change: Change, record: &UserRecord) {
        match record {
            UserRecord::ToDeviceQueued(messages) => {
                self.queue_messages(change.sequence, messages);
            }
            UserRecord::ToDeviceReceived(received) => {
                if let Ok(origin) = <[u8; 16]>::try_from(received.origin.as_slice()) {
                    self.received.push_back(origin);
                    if self.received.len() > RECEIVED_MAX {
                        self.received.pop_front();
                    }
                }
                self.queue_messages(change.sequence, &received.messages);
            }
            UserRecord::ToDeviceAcknowledged(acknowledged) => {
                self.change_device(&acknowledged.device_id, |device| {
                    device.inbox.acknowledge(acknowledged);
                });
            }
            UserRecord::TransactionDone(done) => self.change_device(&done.device_id, |device| {
                device.note_transaction(&done.transaction_id);
            }),
            _ => {}
        }
    }

    fn queue_messages(&mut self, sequence: Sequence, messages: &[ToDevice]) {
        for ToDevice { device_id, json } in messages {
            self.change_device(device_id, |device| {
                device.inbox.push(sequence, text(json));
            });
        }
    }

    /// Whether the to-device messages of a sending were taken in, lately.
    pub(super) fn has_received(&self, origin: &[u8; 16]) -> bool {
        // Repeats come soon after: newest first.
        self.received.iter().rev().any(|known| known == origin)
    }
}

//! To-device messages and transactions in a user's state.

use imbl::{HashSet, Vector};
use playhouse_schema::{
    address::Sequence,
    record::user::{ToDevice, UserRecord},
};
use serde::{Deserialize, Serialize};

use super::{
    queue_to_device::Origin,
    state::{Change, User, text},
};

/// So many sendings of to-device messages are remembered. A server may send again after its death what it has sent in its last seconds, and once a repeat is
/// older than what is remembered, taking it in pushes out the next one: so it is some seconds of all that can come for one user.
const RECEIVED_MAX: usize = 4_096;

/// Which sendings of to-device messages came last. Snapshots hold the list alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vector<Origin>", into = "Vector<Origin>")]
pub(super) struct Received {
    /// The oldest first.
    order: Vector<Origin>,
    /// The same: each sending is looked for.
    known: HashSet<Origin>,
}

impl Received {
    fn take(&mut self, origin: Origin) {
        if self.known.insert(origin).is_some() {
            return;
        }
        self.order.push_back(origin);
        if self.order.len() > RECEIVED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn has(&self, origin: &Origin) -> bool {
        self.known.contains(origin)
    }

    /// A rough figure of the memory it takes.
    pub(super) fn weight_bytes(&self) -> usize {
        self.order.len() * 3 * size_of::<Origin>()
    }
}

impl From<Vector<Origin>> for Received {
    fn from(order: Vector<Origin>) -> Self {
        let known = order.iter().copied().collect();
        Self { order, known }
    }
}

impl From<Received> for Vector<Origin> {
    fn from(received: Received) -> Self {
        received.order
    }
}

impl User {
    pub(super) fn fold_messages(&mut self, change: Change, record: &UserRecord) {
        match record {
            UserRecord::ToDeviceQueued(messages) => {
                self.queue_messages(change.sequence, messages);
            }
            UserRecord::ToDeviceReceived(received) => {
                if let Ok(origin) = Origin::try_from(received.origin.as_slice()) {
                    self.received.take(origin);
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
    pub(super) fn has_received(&self, origin: &Origin) -> bool {
        self.received.has(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: usize) -> Origin {
        (number as u128).to_be_bytes()
    }

    #[test]
    fn the_newest_are_known_and_a_snapshot_brings_them_back() {
        let mut received = Received::default();
        for number in 0..=RECEIVED_MAX {
            received.take(origin(number));
        }
        // What is known already pushes nothing out.
        received.take(origin(RECEIVED_MAX));
        let bytes = rmp_serde::to_vec(&received).expect("bytes");
        let restored: Received = rmp_serde::from_slice(&bytes).expect("the same");
        for received in [received, restored] {
            assert_eq!(received.order.len(), RECEIVED_MAX);
            assert_eq!(received.known.len(), RECEIVED_MAX);
            assert!(!received.has(&origin(0)));
            assert!(received.has(&origin(1)) && received.has(&origin(RECEIVED_MAX)));
        }
    }

    #[test]
    fn snapshots_hold_a_list_as_before() {
        let mut received = Received::default();
        received.take(origin(7));
        let list: Vector<Origin> = [origin(7)].into_iter().collect();
        assert_eq!(
            rmp_serde::to_vec(&received).expect("bytes"),
            rmp_serde::to_vec(&list).expect("bytes")
        );
    }
}

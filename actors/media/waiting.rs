//! Who waits for content that is still to come.

use super::message::{MediaAnswer, MediaError, Reserved};
use crate::kernel::Port;

/// So many wait for one piece of media; who comes beyond it is told at once that it is still awaited.
const WAITING_MAX: usize = 1_000;

/// Who waits. Who has given up is left out at the next opportunity.
#[derive(Default)]
pub struct Waiting(Vec<Port<MediaAnswer, MediaError>>);

impl Waiting {
    pub(super) fn add(&mut self, port: Port<MediaAnswer, MediaError>, reserved: Reserved) {
        self.0.retain(|waiting| !waiting.is_closed());
        if self.0.len() < WAITING_MAX {
            self.0.push(port);
        } else {
            let _ = port.send(Ok(MediaAnswer::Awaited(reserved)));
        }
    }

    pub(super) fn tell(&mut self, answer: &Result<MediaAnswer, MediaError>) {
        for port in self.0.drain(..) {
            let _ = port.send(answer.clone());
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.0.iter().any(|port| !port.is_closed())
    }
}

//! A user on trial: a fixed world, and commands that are applied at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ruma::{server_name, signatures::Ed25519KeyPair};

use crate::env::{Clock, Env, Identity, Randomness};

/// A clock that stands still until it is set.
pub(in crate::user) struct SetClock(pub(in crate::user) AtomicU64);

impl Clock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Bytes that repeat only after a long time, and are the same in every run.
struct CountedRandomness(AtomicU64);

impl Randomness for CountedRandomness {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            let mixed = (count ^ (count >> 3)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// The world at a time of one million milliseconds.
pub(in crate::user) fn env() -> Env {
    env_and_clock().0
}

/// The world, and its clock.
pub(in crate::user) fn env_and_clock() -> (Env, Arc<SetClock>) {
    let clock = Arc::new(SetClock(AtomicU64::new(1_000_000)));
    let env = Env {
        clock: clock.clone(),
        randomness: Arc::new(CountedRandomness(AtomicU64::new(1))),
        identity: Arc::new(Identity {
            server_name: server_name!("example.org").to_owned(),
            key_pair: Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "1".to_owned())
                .unwrap(),
        }),
    };
    (env, clock)
}

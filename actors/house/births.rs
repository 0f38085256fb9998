//! The clock by which rooms are born.
//!
//! From room version 12 on the room ID is the hash of the create event: two rooms that the same user makes alike in the same millisecond would be one. This clock
//! never tells the same millisecond twice.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::env::{Clock, Env};

struct Births {
    clock: Arc<dyn Clock>,
    last_ms: AtomicU64,
}

impl Clock for Births {
    fn now_ms(&self) -> u64 {
        let now_ms = self.clock.now_ms();
        let next = |last_ms: u64| now_ms.max(last_ms + 1);
        let last_ms = self
            .last_ms
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last_ms| {
                Some(next(last_ms))
            });
        next(last_ms.unwrap_or(0))
    }
}

/// The same environment with a clock for births.
pub(super) fn births(env: &Env) -> Env {
    Env {
        clock: Arc::new(Births {
            clock: env.clock.clone(),
            last_ms: AtomicU64::new(0),
        }),
        ..env.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Clock for Still {
        fn now_ms(&self) -> u64 {
            7
        }
    }

    #[test]
    fn no_millisecond_comes_twice() {
        let births = Births {
            clock: Arc::new(Still),
            last_ms: AtomicU64::new(0),
        };
        assert_eq!(
            [births.now_ms(), births.now_ms(), births.now_ms()],
            [7, 8, 9]
        );
    }
}

//! How often something happens: token buckets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::Key;

/// So many buckets are kept; beyond it full ones are dropped, then all.
const BUCKETS_MAX: usize = 8_192;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// So often in the long run.
    pub per_second: f64,
    /// So often at once after a pause.
    pub burst: u32,
}

/// How much of a rate is left.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    filled_ms: u64,
    rate: Rate,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now_ms: u64) -> Self {
        Self {
            tokens: f64::from(rate.burst),
            filled_ms: now_ms,
            rate,
        }
    }

    fn fill(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms);
        let gained = elapsed_ms as f64 / 1000.0 * self.rate.per_second;
        self.tokens = (self.tokens + gained).min(f64::from(self.rate.burst));
        self.filled_ms = now_ms;
    }

    /// Takes a token, or tells in how many milliseconds there will be one. Another rate than before begins with a full bucket.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), u64> {
        if self.rate != rate {
            *self = Self::new(rate, now_ms);
        }
        self.fill(now_ms);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = 1.0 - self.tokens;
        Err((missing / self.rate.per_second * 1000.0).ceil() as u64)
    }

    /// Whether it says no more than one that is not there.
    pub fn is_full(&self, now_ms: u64) -> bool {
        let mut bucket = *self;
        bucket.fill(now_ms);
        bucket.tokens >= f64::from(self.rate.burst)
    }
}

/// The buckets of a desk.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<Key, Bucket>);

impl Rates {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts one; otherwise it may happen in so many milliseconds.
    pub(super) fn count(&mut self, key: Key, rate: Rate, now_ms: u64) -> Result<(), u64> {
        if self.0.len() >= BUCKETS_MAX && !self.0.contains_key(&key) {
            self.forget_full(now_ms);
            if self.0.len() >= BUCKETS_MAX {
                // Under a flood of addresses memory matters more than a few requests too many.
                self.0.clear();
            }
        }
        let bucket = self.0.entry(key);
        let bucket = bucket.or_insert_with(|| Bucket::new(rate, now_ms));
        bucket.take(rate, now_ms)
    }

    pub(super) fn forget_full(&mut self, now_ms: u64) {
        self.0.retain(|_, bucket| !bucket.is_full(now_ms));
    }
}

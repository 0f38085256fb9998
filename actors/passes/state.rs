//! Which passes a user has, and how that changes.

use imbl::OrdMap;
use playhouse_schema::record::pass::{PassKind, PassMade, PassRecord};
use serde::{Deserialize, Serialize};

use crate::user::token::TokenHash;

/// So many of a kind there may be; beyond it the oldest end.
const PASSES_MAX: usize = 32;

/// So long after its end a pass is remembered, so that a second use is told from a guess.
const REMEMBERED_MS: u64 = 60 * 60 * 1000;

/// The passes of a user: a fold of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passes {
    /// By the hash of the token.
    pub(super) passes: OrdMap<TokenHash, Pass>,
}

/// A pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pass {
    pub(super) kind: PassKind,
    pub(super) at_ms: u64,
    pub(super) until_ms: u64,
    pub(super) used: bool,
    pub(super) detail: String,
}

impl Passes {
    /// A pass of a kind, used or not, whose time is not over.
    pub(super) fn find(&self, kind: PassKind, token: &str, now_ms: u64) -> Option<&Pass> {
        let pass = self.passes.get(&TokenHash::of(token))?;
        (pass.kind == kind && now_ms < pass.until_ms).then_some(pass)
    }

    /// The hash of some pass of a kind that can be used.
    pub(super) fn any(&self, kind: PassKind, now_ms: u64) -> Option<&TokenHash> {
        let usable = |pass: &Pass| pass.kind == kind && !pass.used && now_ms < pass.until_ms;
        let mut passes = self.passes.iter();
        passes.find(|(_, pass)| usable(pass)).map(|(hash, _)| hash)
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, record: &PassRecord) {
        match record {
            PassRecord::Made(made) => self.make(made),
            PassRecord::Used(used) => {
                if let Some(pass) = self.passes.get_mut(&TokenHash::from_record(&used.hash)) {
                    pass.used = true;
                }
            }
            PassRecord::Ended(hashes) => {
                for hash in hashes {
                    self.passes.remove(&TokenHash::from_record(hash));
                }
            }
        }
    }

    fn make(&mut self, made: &PassMade) {
        let forgotten = |pass: &Pass| pass.until_ms.saturating_add(REMEMBERED_MS) <= made.at_ms;
        let old: Vec<TokenHash> = self
            .passes
            .iter()
            .filter(|(_, pass)| forgotten(pass))
            .map(|(hash, _)| hash.clone())
            .collect();
        for hash in old {
            self.passes.remove(&hash);
        }
        let same = || {
            self.passes
                .iter()
                .filter(|(_, pass)| pass.kind == made.kind)
        };
        if same().count() >= PASSES_MAX
            && let Some(oldest) = same().min_by_key(|(_, pass)| pass.at_ms)
        {
            let oldest = oldest.0.clone();
            self.passes.remove(&oldest);
        }
        let pass = Pass {
            kind: made.kind,
            at_ms: made.at_ms,
            until_ms: made.until_ms,
            used: false,
            detail: made.detail.clone(),
        };
        self.passes.insert(TokenHash::from_record(&made.hash), pass);
    }
}

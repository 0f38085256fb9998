//! What one user of this server reported to its administrators (client-server API, "Reporting content").
//!
//! Owns how much a user may report. Must not know whether what is reported exists: whoever asks looks first where that may be told.

use std::collections::VecDeque;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::{
        codec::Record as _,
        house::{HouseRecord, Report},
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident, Unavailable},
};

/// A user may report so much …
const REPORTS_MAX: usize = 30;

/// … in so long a time.
const WITHIN_MS: u64 = 60 * 60 * 1_000;

/// A reason has at most so many bytes.
const REASON_BYTES_MAX: usize = 8 * 1024;

/// The newest reports of a user: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// When they were made, oldest first; only as many as matter.
    at_ms: VecDeque<u64>,
}

/// What can be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReportCommand {
    /// Something is reported.
    Make(Box<Report>),
    /// An administrator deletes a report of this user.
    Delete {
        /// Its number among the user's reports.
        sequence: Sequence,
        /// Its position in the log.
        position: Position,
    },
}

/// What is answered: it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportMade;

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ReportError {
    /// Too many reports: try again after so long.
    #[error("too many reports")]
    TooMany {
        /// Milliseconds.
        retry_after_ms: u64,
    },
    /// The reason is too long.
    #[error("the reason is too long")]
    ReasonTooLong,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Reports {
    fn decide_at(&self, report: Report, now_ms: u64) -> Result<HouseRecord, ReportError> {
        if report
            .reason
            .as_ref()
            .is_some_and(|reason| reason.len() > REASON_BYTES_MAX)
        {
            return Err(ReportError::ReasonTooLong);
        }
        if self.at_ms.len() >= REPORTS_MAX
            && let Some(oldest) = self.at_ms.front()
            && let Some(wait @ 1..) = (oldest + WITHIN_MS).checked_sub(now_ms)
        {
            return Err(ReportError::TooMany {
                retry_after_ms: wait,
            });
        }
        Ok(HouseRecord::Reported(Report {
            at_ms: now_ms,
            ..report
        }))
    }
}

impl Domain for Reports {
    const NAME: &'static str = "reports";

    type Record = HouseRecord;
    type Command = ReportCommand;
    type Reply = ReportMade;
    type Query = ();
    type Answer = ();
    type Signal = ();
    type Error = ReportError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &HouseRecord) {
        // One that was deleted does not tell any more when it was made.
        if let HouseRecord::Reported(report) = record
            && report.at_ms > 0
        {
            self.at_ms.push_back(report.at_ms);
            if self.at_ms.len() > REPORTS_MAX {
                self.at_ms.pop_front();
            }
        }
    }

    fn decide(&self, command: ReportCommand, env: &Env) -> Result<Decision<Self>, ReportError> {
        match command {
            ReportCommand::Make(report) => {
                let record = self.decide_at(*report, env.now_ms())?;
                Ok(Decision::new(vec![record], ReportMade))
            }
            ReportCommand::Delete { sequence, position } => {
                let nothing = HouseRecord::Reported(Report::deleted()).encode();
                let record = HouseRecord::ReportDeleted(position);
                Ok(Decision {
                    erasures: vec![(sequence, nothing)],
                    ..Decision::new(vec![record], ReportMade)
                })
            }
        }
    }

    fn answer(_resident: &mut Resident<Self>, _query: (), port: Port<(), ReportError>) {
        let _ = port.send(Ok(()));
    }

    fn weight_bytes(&self) -> usize {
        256 + self.at_ms.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(reason: &str) -> Report {
        Report {
            reporter: "@a:b".to_owned(),
            room_id: Some("!r".to_owned()),
            event_id: None,
            user_id: None,
            reason: Some(reason.to_owned()),
            at_ms: 0,
            sender: None,
        }
    }

    #[test]
    fn reports_are_counted_for_an_hour() {
        let mut reports = Reports::default();
        for index in 0..REPORTS_MAX as u64 {
            let record = reports
                .decide_at(report("so"), 1_000 + index)
                .expect("a record");
            reports.apply(index + 1, index + 1, &record);
        }
        let refused = reports
            .decide_at(report("so"), 2_000)
            .expect_err("too many");
        let wait = ReportError::TooMany {
            retry_after_ms: WITHIN_MS - 1_000,
        };
        assert_eq!(refused, wait);
        let record = reports
            .decide_at(report("so"), 1_000 + WITHIN_MS)
            .expect("a record");
        reports.apply(31, 31, &record);
        assert_eq!(reports.at_ms.len(), REPORTS_MAX);
    }

    #[test]
    fn reasons_are_bounded() {
        let long = "x".repeat(REASON_BYTES_MAX + 1);
        let refused = Reports::default().decide_at(report(&long), 0);
        assert_eq!(refused, Err(ReportError::ReasonTooLong));
    }
}

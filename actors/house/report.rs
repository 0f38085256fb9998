//! Telling the administrators of something.

use playhouse_schema::{
    address::Entity,
    models::{
        Model as _,
        reports::{self, FiledReport, Wanted},
    },
    record::house::Report,
};
use ruma::{EventId, RoomId, UserId, events::room::member::MembershipState};
use serde::Deserialize;

use super::{House, HouseError, surprise};
use crate::{
    reports::ReportCommand,
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{Reader, RoomAccess},
    },
};

impl House {
    /// Reports a room, whoever is in it. One that is not here is recorded too: so nobody learns which rooms there are.
    pub async fn report_room(
        &self,
        reporter: &UserId,
        room_id: &RoomId,
        reason: String,
    ) -> Result<(), HouseError> {
        let mut report = report_by(reporter, Some(reason));
        report.room_id = Some(room_id.to_string());
        self.file(reporter, report).await
    }

    /// Reports a user. One who does not exist is recorded too: so nobody learns which users there are.
    pub async fn report_user(
        &self,
        reporter: &UserId,
        user_id: &UserId,
        reason: String,
    ) -> Result<(), HouseError> {
        let mut report = report_by(reporter, Some(reason));
        report.user_id = Some(user_id.to_string());
        self.file(reporter, report).await
    }

    /// Reports an event that the reporter, who must be joined, can see. Else `NotFound`, whatever the cause.
    pub async fn report_event(
        &self,
        reader: Reader,
        (room_id, event_id): (&RoomId, &EventId),
        reason: Option<String>,
    ) -> Result<(), HouseError> {
        let reporter = reader.user_id.clone();
        match self.room_access(room_id, &reporter).await {
            Ok(RoomAccess {
                membership: Some(MembershipState::Join),
                ..
            }) => {}
            Ok(_) | Err(HouseError::Room(RoomError::UnknownRoom)) => {
                return Err(RoomError::NotFound.into());
            }
            Err(error) => return Err(error),
        }
        let query = RoomQuery::Event {
            reader,
            event_id: event_id.to_owned(),
        };
        let RoomAnswer::Event(event) = self.room_query(room_id, query).await? else {
            return Err(surprise("Event"));
        };
        let mut report = report_by(&reporter, reason);
        report.sender = sender_of(&event);
        report.room_id = Some(room_id.to_string());
        report.event_id = Some(event_id.to_string());
        self.file(&reporter, report).await
    }

    /// Reports, the newest first: at most `limit` before another.
    pub async fn reports(
        &self,
        before: Option<&FiledReport>,
        limit: usize,
    ) -> Result<Vec<FiledReport>, HouseError> {
        self.models.caught_up(reports::Reports::NAME).await?;
        Ok(reports::list(&**self.models.store(), before, limit).await?)
    }

    async fn file(&self, reporter: &UserId, report: Report) -> Result<(), HouseError> {
        let entity = Entity::house(&format!("reports:{reporter}"));
        let command = ReportCommand::Make(Box::new(report));
        self.reports.command(entity, command).await?;
        Ok(())
    }

    /// A page of the reports that are wanted, and how many there are in all.
    pub async fn find_reports(
        &self,
        wanted: &Wanted,
    ) -> Result<(Vec<FiledReport>, u64), HouseError> {
        self.models.caught_up(reports::Reports::NAME).await?;
        Ok(reports::find(&**self.models.store(), wanted).await?)
    }

    /// A report by its number.
    pub async fn report(&self, id: u64) -> Result<Option<FiledReport>, HouseError> {
        self.models.caught_up(reports::Reports::NAME).await?;
        Ok(reports::get(&**self.models.store(), id).await?)
    }

    /// Deletes a report, and what it says.
    pub async fn delete_report(&self, filed: &FiledReport) -> Result<(), HouseError> {
        let entity = Entity::house(&format!("reports:{}", filed.report.reporter));
        let command = ReportCommand::Delete {
            sequence: filed.sequence,
            position: filed.position,
        };
        self.reports.command(entity, command).await?;
        Ok(())
    }
}

fn sender_of(event: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Sent {
        sender: String,
    }
    let sent: Sent = serde_json::from_slice(event).ok()?;
    Some(sent.sender)
}

fn report_by(reporter: &UserId, reason: Option<String>) -> Report {
    Report {
        reporter: reporter.to_string(),
        room_id: None,
        event_id: None,
        user_id: None,
        reason: reason.filter(|reason| !reason.is_empty()),
        at_ms: 0,
        sender: None,
    }
}

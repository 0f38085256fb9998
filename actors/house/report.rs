//! Telling the administrators of something.

use playhouse_schema::{
    address::Entity,
    models::{
        Model as _,
        reports::{self, FiledReport},
    },
    record::house::Report,
};
use ruma::{EventId, RoomId, UserId, events::room::member::MembershipState};

use super::{House, HouseError};
use crate::{
    reports::MakeReport,
    room::{
        RoomError, RoomQuery,
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
        self.room_query(room_id, query).await?;
        let mut report = report_by(&reporter, reason);
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
        self.reports.command(entity, MakeReport(report)).await?;
        Ok(())
    }
}

fn report_by(reporter: &UserId, reason: Option<String>) -> Report {
    Report {
        reporter: reporter.to_string(),
        room_id: None,
        event_id: None,
        user_id: None,
        reason: reason.filter(|reason| !reason.is_empty()),
        at_ms: 0,
    }
}

//! Mails: what a user has not seen for a while, gathered.
//!
//! What is unread waits: ten minutes at first, since most of it is seen by then. A mail tells of everything that waits as soon as one room is ready. The wait
//! before the next mail that tells of the same room grows with each one, and begins anew once the room was quiet for long.

use std::collections::BTreeMap;

use playhouse_schema::{
    address::Sequence,
    models::{Model as _, threepids},
    record::user::{PushesSettled, PushesWait, RoomMailed},
};
use ruma::{OwnedRoomId, OwnedUserId, events::TimelineEventType};
use serde::Deserialize;

use super::{
    MailSettings,
    board::{Phase, Positions},
    delivery::{Candidate, Delivery, Halt, Job, Names, for_target, listed},
    ledger::{Ledger, Reading},
    plan::{Target, Way},
    port::{Digest, DigestMessage, DigestRoom},
};
use crate::{
    room::event::RoomEvent,
    user::{
        UserAnswer, UserQuery,
        push_standing::{Mailed, PushNote, Standing},
    },
};

/// So many rooms have a place in a mail.
const ROOMS_MAX: usize = 20;

/// So many messages of a room.
const MESSAGES_MAX: usize = 10;

/// So many characters of a message.
const TEXT_CHARS_MAX: usize = 500;

impl Delivery {
    /// What is to be done for a mailbox.
    pub(super) async fn mail_job(
        &self,
        target: Target,
        (live, from): (&[Candidate], &Positions),
        (ledger, reading): (&mut Ledger, &Reading),
    ) -> Result<Job, Halt> {
        let delay_ms = self.pushing.parts.settings.mails.delay_ms;
        let news = untold(&target, for_target(&target, live));
        let oldest_ms = news.iter().map(|one| one.recorded_ms).min();
        let due_ms = oldest_ms.map(|oldest_ms| oldest_ms + delay_ms);
        let Some(lag) = target.standing.lag.clone() else {
            let Some(due_ms) = due_ms else {
                return Ok(Job::Later(0));
            };
            self.note(PushNote::Waits(PushesWait {
                pusher: target.number,
                lag: listed(from),
            }))
            .await?;
            self.slot.set_mail_due(target.number, Some(due_ms));
            return Ok(Job::Later(due_ms));
        };
        if let Some(known_ms) = self.slot.mail_due(target.number) {
            let due_ms = due_ms.map_or(known_ms, |due_ms| due_ms.min(known_ms));
            self.slot.set_mail_due(target.number, Some(due_ms));
            let next_ms = due_ms.max(target.standing.next_ms);
            if next_ms > self.now_ms() {
                return Ok(Job::Later(next_ms));
            }
        } else if target.standing.next_ms > self.now_ms() {
            return Ok(Job::Later(target.standing.next_ms));
        }
        let unread = self.behind((&target, &lag), (ledger, reading)).await?;
        let unread = untold(&target, unread);
        if unread.is_empty() {
            self.mailed(&target, Vec::new()).await?;
            return Ok(Job::Later(0));
        }
        Ok(Job::Mail { target, unread })
    }

    /// Mails what is unread, if it is time. When there is something to try again.
    pub(super) async fn mail(
        &self,
        target: &Target,
        unread: &[Candidate],
        names: &Names,
    ) -> Result<u64, Halt> {
        let settings = &self.pushing.parts.settings;
        let ready_ms = unread.iter().map(|one| {
            let mailed = target.standing.mailed.get(one.room_id.as_str());
            let room_ms = mailed.map_or(0, |mailed| mailed.at_ms + mailed.throttle_ms);
            room_ms.max(one.recorded_ms + settings.mails.delay_ms)
        });
        let ready_ms = ready_ms.min().unwrap_or(0);
        if ready_ms > self.now_ms() {
            self.slot.set_mail_due(target.number, Some(ready_ms));
            return Ok(ready_ms);
        }
        if !self.owns(&target.pushkey).await? {
            self.note(PushNote::Rejected {
                pusher: target.number,
                reason: "the mail address is not the user's".to_owned(),
            })
            .await?;
            return Ok(0);
        }
        let digest = self.digest(target, unread, names).await?;
        let board = self.pushing.board();
        let _permit = self.pushing.mailing.acquire().await?;
        self.go_on()?;
        let sent = tokio::select! {
            sent = settings.postman.mail(digest) => sent,
            () = board.reaches(Phase::CutOff) => return Err(Halt::Closing),
        };
        let outcome = if sent.is_ok() { "taken" } else { "failed" };
        metrics::counter!("playhouse_pushes_total", "kind" => "email", "outcome" => outcome)
            .increment(1);
        match sent {
            Ok(()) => {
                let rooms = told_of(&settings.mails, (target, unread));
                self.mailed(target, rooms).await?;
                Ok(0)
            }
            Err(trouble) => {
                tracing::debug!(user_id = %self.user_id, reason = trouble.reason, "a mail was not taken");
                self.slot.set_mail_due(target.number, None);
                let give_up_ms = settings.give_up_ms;
                if is_given_up(&target.standing, (give_up_ms, self.now_ms())) {
                    return self.give_up(target, unread.len()).await;
                }
                self.fail(target, &trouble, None).await
            }
        }
    }

    /// What waits for a mailbox is let go. The next event begins anew.
    async fn give_up(&self, target: &Target, given_up: usize) -> Result<u64, Halt> {
        metrics::counter!("playhouse_pushes_given_up_total").increment(given_up as u64);
        tracing::warn!(user_id = %self.user_id, given_up, "mails are not taken, and given up");
        self.mailed(target, Vec::new()).await?;
        Ok(0)
    }

    /// Nothing waits for a mailbox any more.
    async fn mailed(&self, target: &Target, mailed: Vec<RoomMailed>) -> Result<(), Halt> {
        self.note(PushNote::Settled(PushesSettled {
            pusher: target.number,
            at_ms: 0,
            mailed,
        }))
        .await?;
        self.slot.set_mail_due(target.number, None);
        Ok(())
    }

    /// Whether a mail address is one of the user's own.
    async fn owns(&self, address: &str) -> Result<bool, Halt> {
        let parts = &self.pushing.parts;
        parts.models.caught_up(threepids::Threepids::NAME).await?;
        let models = parts.store.models();
        let claims = threepids::of_user(&*models, self.user_id.as_str()).await?;
        let address = address.to_lowercase();
        Ok(claims
            .iter()
            .any(|claim| claim.medium == "email" && claim.address.to_lowercase() == address))
    }

    async fn digest(
        &self,
        target: &Target,
        unread: &[Candidate],
        names: &Names,
    ) -> Result<Digest, Halt> {
        let brand = match &target.way {
            Way::Mail(brand) => brand.clone(),
            Way::Http(_) => None,
        };
        let mut order: Vec<&OwnedRoomId> = Vec::new();
        let mut by_room: BTreeMap<&OwnedRoomId, Vec<&Candidate>> = BTreeMap::new();
        for one in unread {
            let of_room = by_room.entry(&one.room_id).or_default();
            if of_room.is_empty() {
                order.push(&one.room_id);
            }
            of_room.push(one);
        }
        let rooms = order.iter().take(ROOMS_MAX).filter_map(|room_id| {
            let events = by_room.get(room_id)?;
            Some(room(room_id, events, names))
        });
        Ok(Digest {
            user_id: self.user_id.clone(),
            user_name: self.user_name().await?,
            app_id: target.app_id.clone(),
            address: target.pushkey.clone(),
            language: target.language.clone(),
            brand,
            rooms: rooms.collect(),
            further_rooms: order.len().saturating_sub(ROOMS_MAX),
        })
    }

    async fn user_name(&self) -> Result<String, Halt> {
        let own = || self.user_id.to_string();
        let UserAnswer::Profile(fields) = self.ask(UserQuery::Profile).await? else {
            return Ok(own());
        };
        let mut fields = fields.into_iter();
        let name = fields.find(|(name, _)| name == "displayname");
        let name = name.and_then(|(_, json)| serde_json::from_str::<String>(&json).ok());
        Ok(name.filter(|name| !name.is_empty()).unwrap_or_else(own))
    }
}

/// Whether everything has failed for so long that what waits is let go.
pub(super) fn is_given_up(standing: &Standing, (give_up_ms, now_ms): (u64, u64)) -> bool {
    let since_ms = standing.failing_since_ms;
    since_ms > 0 && since_ms.saturating_add(give_up_ms) <= now_ms
}

/// What is kept of the rooms of a mail.
fn told_of(settings: &MailSettings, (target, unread): (&Target, &[Candidate])) -> Vec<RoomMailed> {
    let mut rooms: BTreeMap<&OwnedRoomId, (u64, u64, Sequence)> = BTreeMap::new();
    for one in unread {
        let at_ms = one.recorded_ms;
        let first = (at_ms, at_ms, one.sequence);
        let told = rooms.entry(&one.room_id).or_insert(first);
        *told = (
            told.0.min(at_ms),
            told.1.max(at_ms),
            told.2.max(one.sequence),
        );
    }
    let told = rooms.into_iter().map(|(room_id, told)| {
        let (oldest_ms, newest_ms, newest) = told;
        let before = target.standing.mailed.get(room_id.as_str());
        RoomMailed {
            room_id: room_id.to_string(),
            newest_ms,
            throttle_ms: throttle_ms(settings, before, oldest_ms),
            newest,
        }
    });
    told.collect()
}

/// Those of some events of which no mail has told. After a crash the log is read again from a little further back.
pub(super) fn untold(target: &Target, mut events: Vec<Candidate>) -> Vec<Candidate> {
    events.retain(|one| {
        let mailed = target.standing.mailed.get(one.room_id.as_str());
        mailed.is_none_or(|mailed| one.sequence > mailed.newest)
    });
    events
}

/// How long the next mail that tells of a room must wait.
pub(super) fn throttle_ms(settings: &MailSettings, before: Option<&Mailed>, oldest_ms: u64) -> u64 {
    let Some(before) = before.filter(|before| before.throttle_ms > 0) else {
        return settings.throttle_ms;
    };
    let quiet_ms = oldest_ms.saturating_sub(before.newest_ms);
    if quiet_ms > settings.throttle_reset_ms {
        return settings.throttle_ms;
    }
    let grown = before.throttle_ms.saturating_mul(settings.throttle_factor);
    grown.min(settings.throttle_max_ms)
}

fn room(room_id: &OwnedRoomId, events: &[&Candidate], names: &Names) -> DigestRoom {
    let names = names.get(room_id);
    let called = |user_id: &OwnedUserId| {
        let name = names.and_then(|names| names.members.get(user_id));
        name.map_or_else(|| user_id.to_string(), Clone::clone)
    };
    let invite = events.iter().rev().find(|one| one.is_invite);
    let messages = events.iter().filter(|one| !one.is_invite);
    let messages: Vec<_> = messages
        .map(|one| DigestMessage {
            event_id: one.event.pdu.event_id.clone(),
            sender: called(&one.event.pdu.sender),
            text: text_of(&one.event),
            sent_ms: one.event.pdu.origin_server_ts.0.into(),
        })
        .collect();
    let further = messages.len().saturating_sub(MESSAGES_MAX);
    DigestRoom {
        room_id: room_id.clone(),
        name: names.and_then(|names| names.room_name.clone().or(names.room_alias.clone())),
        others: names.map_or_else(Vec::new, |names| names.others.clone()),
        inviter: invite.map(|one| called(&one.event.pdu.sender)),
        messages: messages.into_iter().skip(further).collect(),
        further,
    }
}

/// What a message says, if that can be read.
fn text_of(event: &RoomEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct Content {
        body: String,
    }
    if event.pdu.event_type != TimelineEventType::RoomMessage {
        return None;
    }
    let content: Content = event.pdu.content_as()?;
    let text: String = content.body.chars().take(TEXT_CHARS_MAX).collect();
    let is_cut = text.len() < content.body.len();
    Some(if is_cut { text + "…" } else { text })
}

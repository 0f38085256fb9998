//! Pushers, of which several users may have ones with the same key; and pushing, as the house sees it.

use std::{sync::Arc, time::Duration};

use playhouse_schema::{
    address::ShardNumber,
    models::{
        Model as _,
        pushers::{Pushers, owners},
    },
    port::LogStore,
};
use ruma::{DeviceId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    followers::task::{Running, Source},
    pushers::{self, Parts, PushBoard, Pushing},
    room::message::JsonText,
    user::{UserAnswer, UserCommand, UserError, UserQuery, pushers::PusherBook},
};

/// The application of pushers that mail.
const MAIL_APP: &str = "m.email";

/// Pushing on this node.
pub(super) struct Pushes(Arc<Pushing>);

impl Pushes {
    /// Everything together; nothing begins yet.
    pub(super) fn new(parts: Parts) -> Self {
        Self(Pushing::new(parts))
    }

    /// Starts the follower that feeds it.
    pub(super) fn start(&self, source: Source) -> Running {
        pushers::start(source.1, self.0.clone())
    }

    /// What waits for whom.
    pub(super) fn board(&self) -> &Arc<PushBoard> {
        self.0.board()
    }

    /// Ends what is on its way; it goes on from there in the next life.
    pub(super) async fn close(&self, within: Duration) {
        self.0.close(within).await;
    }
}

/// Pushes to the users of a shard until it is stopped.
pub(super) fn push_to_shard(
    board: Arc<PushBoard>,
    store: Arc<dyn LogStore>,
    number: ShardNumber,
) -> Running {
    board.want(number);
    Running::start(move |mut stop| {
        Box::pin(async move {
            stop.told().await;
            pushers::leave(&*store, &board, number).await;
        })
    })
}

impl Drop for Pushes {
    fn drop(&mut self) {
        // What is on its way holds on to the store: it must not outlive the house by as long as a dead gateway takes to answer.
        self.0.cut_off();
    }
}

/// A pusher that somebody wants.
#[derive(Clone, Debug)]
pub struct PusherWish {
    /// The application.
    pub app_id: String,
    /// The key under which the application is reached.
    pub pushkey: String,
    /// All of it, as it is told to clients.
    pub json: JsonText,
    /// Others may have pushers with the same application and key.
    pub append: bool,
}

impl House {
    /// Sets a pusher. Unless it is to be appended, those of other users with the same application and key end.
    pub async fn set_pusher(
        &self,
        user_id: &UserId,
        device_id: Option<&DeviceId>,
        wish: PusherWish,
    ) -> Result<(), HouseError> {
        let set = UserCommand::SetPusher {
            pusher: wish.json,
            device_id: device_id.map(ToOwned::to_owned),
        };
        self.user_command(user_id, set).await?;
        if wish.append {
            return Ok(());
        }
        self.models.caught_up(Pushers::NAME).await?;
        let others = owners(&**self.models.store(), &wish.app_id, &wish.pushkey).await?;
        for other in others.iter().filter(|other| **other != *user_id) {
            let Ok(other) = UserId::parse(other) else {
                continue;
            };
            let remove = UserCommand::RemovePusher {
                app_id: wish.app_id.clone(),
                pushkey: wish.pushkey.clone(),
            };
            match self.user_command(&other, remove).await {
                // Whose account is closed has no pushers.
                Ok(_) | Err(UserError::Deactivated | UserError::UnknownUser) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// All that is known of a user's pushers.
    pub async fn pusher_book(&self, user_id: &UserId) -> Result<PusherBook, HouseError> {
        match self.user_query(user_id, UserQuery::PusherBook).await? {
            UserAnswer::PusherBook(book) => Ok(*book),
            _ => Err(surprise("PusherBook")),
        }
    }

    /// A mail address is not a user's any more: nothing is mailed there.
    pub(super) async fn end_mails_to(
        &self,
        user_id: &UserId,
        address: &str,
    ) -> Result<(), HouseError> {
        let book = match self.user_query(user_id, UserQuery::PusherBook).await {
            Ok(UserAnswer::PusherBook(book)) => *book,
            Ok(_) => return Err(surprise("PusherBook")),
            Err(UserError::Deactivated | UserError::UnknownUser) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let address = address.to_lowercase();
        let mails = book
            .pushers
            .into_iter()
            .filter(|named| named.app_id == MAIL_APP && named.pushkey.to_lowercase() == address);
        for named in mails {
            let remove = UserCommand::RemovePusher {
                app_id: named.app_id,
                pushkey: named.pushkey,
            };
            self.user_command(user_id, remove).await?;
        }
        Ok(())
    }
}

//! Who has pushers, and for whom something waits from an earlier life: read when the follower begins, and when it is to push to users of further shards.

use playhouse_schema::{
    address::ShardNumber,
    models::{Model as _, pushers},
};
use ruma::{OwnedUserId, UserId};

use super::{Pushing, follower::AGAIN};
use crate::followers::task::{Stop, Stopped};

/// So many users are read at once.
const PAGE: usize = 1_000;

/// Puts users onto the board: all of them, or those of some shards, of which all is taken in that was recorded before. Insists.
pub(super) async fn restore(
    pushing: &Pushing,
    only: Option<&[ShardNumber]>,
    stop: &mut Stop,
) -> Result<(), Stopped> {
    loop {
        match read(pushing, only).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(error, "cannot read who has pushers"),
        }
        if !stop.pause(AGAIN).await {
            return Err(Stopped);
        }
    }
}

async fn read(pushing: &Pushing, only: Option<&[ShardNumber]>) -> Result<(), String> {
    let (parts, board) = (&pushing.parts, pushing.board());
    if only.is_none() {
        let caught_up = parts.models.caught_up(pushers::Pushers::NAME).await;
        caught_up.map_err(|error| error.to_string())?;
    }
    let models = parts.store.models();
    let meant = |name: &str| -> Option<OwnedUserId> {
        let user_id = UserId::parse(name).ok()?;
        let number = board.part_of(&user_id);
        only.is_none_or(|only| only.contains(&number))
            .then_some(user_id)
    };
    let mut after = String::new();
    loop {
        let page = pushers::all_owners(&*models, &after, PAGE).await;
        let page = page.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else {
            break;
        };
        after.clone_from(last);
        for user_id in page.iter().filter_map(|name| meant(name)) {
            board.enrol(&user_id);
        }
    }
    after.clear();
    loop {
        let page = pushers::waiting(&*models, &after, PAGE).await;
        let page = page.map_err(|error| error.to_string())?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after.clone_from(last);
        for (name, next_ms) in &page {
            if let Some(user_id) = meant(name) {
                let slot = board.slot(&user_id);
                slot.doubt();
                slot.expect_at(*next_ms);
            }
        }
    }
}

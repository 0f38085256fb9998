//! Who counts as active in a month, and what happens when that are as many as may be.
//!
//! The number is the actor's. Here stands who counts at all, and on each node who need not be asked about for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::address::Entity;
use ruma::{OwnedUserId, UserId};

use super::{House, HouseError};
use crate::{
    active_users::{ActiveCommand, ActiveError, ActiveQuery, ActiveUsers, Fullness, RESERVED_MAX},
    followers::task::Running,
    kernel::Directory,
    threepid::Address,
    user::message::{Account, Session},
};

/// The type of accounts for the server's own people, which never count.
const SUPPORT: &str = "support";

/// Whoever has a place is not looked up again for so long.
const HAS_PLACE_MS: u64 = 60 * 60 * 1_000;

/// Whoever has none is not looked up again for so long, however often they ask.
const REFUSED_MS: u64 = 10_000;

/// So many users are remembered on a node.
const REMEMBERED_MAX: usize = 100_000;

/// That somebody was refused is told to the operator so often at most.
const WARN_EVERY_MS: u64 = 60 * 60 * 1_000;

/// So often it is looked who owns the reserved addresses now, and how many are active.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// The first time, when the house has just been opened.
const LOOK_FIRST: Duration = Duration::from_secs(1);

/// What the operator wants to know of active users, and permits.
#[derive(Clone, Debug, Default)]
pub struct ActiveSettings {
    /// They are counted.
    pub counted: bool,
    /// So many may be active in a month; `None`: as many as like.
    pub limit: Option<u64>,
    /// An account does not count for so long after it was made.
    pub trial_ms: u64,
    /// Whose accounts there is always room for.
    pub reserved: Vec<Address>,
    /// The operator is told when somebody is refused.
    pub warns: bool,
    /// Whom the refused may ask.
    pub admin_contact: Option<String>,
}

/// What a node knows of active users.
pub(super) struct ActiveDesk {
    pub(super) actor: Arc<Directory<ActiveUsers>>,
    /// Whether a user may go on, and until when that need not be looked up again.
    known: Mutex<BTreeMap<OwnedUserId, (bool, u64)>>,
    warned_ms: AtomicU64,
    reserved_ms: AtomicU64,
}

impl ActiveDesk {
    pub(super) fn new(actor: Arc<Directory<ActiveUsers>>) -> Self {
        Self {
            actor,
            known: Mutex::default(),
            warned_ms: AtomicU64::new(0),
            reserved_ms: AtomicU64::new(0),
        }
    }

    fn known(&self, user_id: &UserId, now_ms: u64) -> Option<bool> {
        let known = self.known.lock();
        let (may, until_ms) = known.get(user_id)?;
        (now_ms < *until_ms).then_some(*may)
    }

    fn remember(&self, user_id: &UserId, may: bool, until_ms: u64) {
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(user_id.to_owned(), (may, until_ms));
    }
}

/// Whether so much time has passed since the last time; then this is the last time.
fn is_due(last_ms: &AtomicU64, every_ms: u64, now_ms: u64) -> bool {
    let due = |last: u64| (last == 0 || now_ms >= last.saturating_add(every_ms)).then_some(now_ms);
    last_ms
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
        .is_ok()
}

/// Looks now and then who owns the reserved addresses, and how many are active.
pub(super) fn watch(house: Weak<House>) -> Running {
    Running::start(|mut stop| {
        Box::pin(async move {
            let mut pause = LOOK_FIRST;
            while stop.pause(pause).await {
                let house = house.upgrade();
                let Some(house) = house.filter(|house| house.config.active_users.counted) else {
                    return;
                };
                // Among several nodes the one with the number does it, soon after it has come there.
                if !house.is_here(&list()) {
                    pause = LOOK_FIRST;
                    continue;
                }
                pause = LOOK_EVERY;
                if let Err(error) = house.look_at_active_users().await {
                    tracing::warn!(%error, "cannot look at the active users, will try again");
                }
            }
        })
    })
}

impl House {
    /// Notes that a user is active. Refuses with `HouseError::TooManyActive` who has no place; administrators are let through.
    pub async fn note_active(&self, session: &Session) -> Result<(), HouseError> {
        if !self.config.active_users.counted {
            return Ok(());
        }
        let (user_id, now_ms) = (&session.user_id, self.env.now_ms());
        let may = match self.active.known(user_id, now_ms) {
            Some(may) => may,
            None => {
                let (may, for_ms) = self.place_among_active(session, now_ms).await?;
                self.active.remember(user_id, may, now_ms + for_ms);
                may
            }
        };
        if may || session.admin {
            return Ok(());
        }
        Err(self.too_many_active())
    }

    /// Whether a user who logs in has a place or could get one. Nothing is written down.
    pub(super) async fn must_have_room(&self, user_id: &UserId) -> Result<(), HouseError> {
        if self.config.active_users.limit.is_none() {
            return Ok(());
        }
        let account = self.account(user_id).await?;
        let is_free = account.admin || self.free_until_ms(&account) > self.env.now_ms();
        if is_free || self.has_room(Some(user_id)).await? {
            return Ok(());
        }
        Err(self.too_many_active())
    }

    /// Whether there is room for an account that is to be made, with the address that its owner has proven.
    pub async fn must_have_room_for_newcomer(
        &self,
        address: Option<&Address>,
    ) -> Result<(), HouseError> {
        let settings = &self.config.active_users;
        let is_reserved = address.is_some_and(|address| settings.reserved.contains(address));
        if settings.limit.is_none() || is_reserved || self.has_room(None).await? {
            return Ok(());
        }
        Err(self.too_many_active())
    }

    /// Whether a user may go on, and for how long that holds.
    async fn place_among_active(
        &self,
        session: &Session,
        now_ms: u64,
    ) -> Result<(bool, u64), HouseError> {
        let user_id = &session.user_id;
        if session.guest {
            // Guests take no place, but need one that is free.
            return Ok((self.has_room(None).await?, REFUSED_MS));
        }
        let free_until_ms = self.free_until_ms(&self.account(user_id).await?);
        if free_until_ms > now_ms {
            return Ok((true, HAS_PLACE_MS.min(free_until_ms - now_ms)));
        }
        let note = || self.active_command(ActiveCommand::Note(user_id.to_string()));
        let mut noted = note().await;
        if noted == Err(ActiveError::Full) && self.reserve_again(now_ms).await? {
            noted = note().await;
        }
        match noted {
            Ok(()) => Ok((true, HAS_PLACE_MS)),
            Err(ActiveError::Full) => Ok((false, REFUSED_MS)),
            Err(error) => Err(self.active_error(error)),
        }
    }

    async fn has_room(&self, user_id: Option<&UserId>) -> Result<bool, HouseError> {
        if self.fullness(user_id).await?.has_room {
            return Ok(true);
        }
        let again = self.reserve_again(self.env.now_ms()).await?;
        Ok(again && self.fullness(user_id).await?.has_room)
    }

    /// Until when an account does not count: for ever for the server's own people.
    fn free_until_ms(&self, account: &Account) -> u64 {
        if account.user_type.as_deref() == Some(SUPPORT) {
            return u64::MAX;
        }
        let trial_ms = self.config.active_users.trial_ms;
        account.created_ms.saturating_add(trial_ms)
    }

    /// Reserves the accounts of reserved addresses anew, now and then; whether it was done.
    async fn reserve_again(&self, now_ms: u64) -> Result<bool, HouseError> {
        let has_reserved = !self.config.active_users.reserved.is_empty();
        if !has_reserved || !is_due(&self.active.reserved_ms, REFUSED_MS, now_ms) {
            return Ok(false);
        }
        self.reserve().await?;
        Ok(true)
    }

    async fn reserve(&self) -> Result<(), HouseError> {
        let settings = &self.config.active_users;
        // More could never be active.
        let most = settings.limit.unwrap_or(u64::MAX);
        let most = usize::try_from(most).map_or(RESERVED_MAX, |most| most.min(RESERVED_MAX));
        let mut accounts = BTreeSet::new();
        for address in settings.reserved.iter().take(most) {
            let Some(owner) = self.owner_of_threepid(address).await? else {
                continue;
            };
            let account = self.account(&owner).await?;
            if account.user_type.as_deref() != Some(SUPPORT) {
                accounts.insert(owner.to_string());
            }
        }
        let reserved = self.active_command(ActiveCommand::Reserve(accounts)).await;
        reserved.map_err(|error| self.active_error(error))
    }

    async fn look_at_active_users(&self) -> Result<(), HouseError> {
        self.reserve().await?;
        let most = self.config.active_users.limit.unwrap_or(0);
        metrics::gauge!("playhouse_admin_mau_max").set(most as f64);
        self.fullness(None).await?;
        Ok(())
    }

    async fn fullness(&self, user_id: Option<&UserId>) -> Result<Fullness, HouseError> {
        let query = ActiveQuery {
            user_id: user_id.map(ToString::to_string),
        };
        let told = self.active.actor.query(list(), query).await;
        told.map_err(|error| self.active_error(error))
    }

    async fn active_command(&self, command: ActiveCommand) -> Result<(), ActiveError> {
        self.active.actor.command(list(), command).await
    }

    fn active_error(&self, error: ActiveError) -> HouseError {
        match error {
            ActiveError::Full => self.too_many_active(),
            ActiveError::Unavailable(error) => error.into(),
        }
    }

    fn too_many_active(&self) -> HouseError {
        let settings = &self.config.active_users;
        if settings.warns && is_due(&self.active.warned_ms, WARN_EVERY_MS, self.env.now_ms()) {
            let limit = settings.limit;
            tracing::warn!(
                limit,
                "as many users are active as may be: others are refused"
            );
        }
        HouseError::TooManyActive {
            admin_contact: settings.admin_contact.clone(),
        }
    }
}

fn list() -> Entity {
    Entity::house("active-users")
}

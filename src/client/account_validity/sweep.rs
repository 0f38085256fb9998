//! Looks now and then whose account ends soon, and mails them. What was mailed stands in the log: a restart mails nobody again.

use std::{sync::Arc, time::Duration};

use playhouse_actors::cluster::roles;
use ruma::UserId;
use tokio::task::JoinHandle;

use super::mail;
use crate::{
    edge::{App, Failure},
    pages::Language,
};

/// So many accounts are looked at together.
const PAGE_USERS: usize = 100;

/// Its name among what one node at a time does.
const DUTY: &str = "account validity";

/// Where it falls to another node it is looked so often whether it still does.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Starts it; `None` when no account ends. It may be cut off anywhere.
pub(crate) fn start(app: &Arc<App>) -> Option<JoinHandle<()>> {
    let settings = &app.config.account_validity;
    let every = Duration::from_millis(settings.sweep_every_ms.max(1));
    let app = app.clone();
    settings.enabled.then(|| {
        tokio::spawn(async move {
            loop {
                if !app.house.does(DUTY, roles::BACKGROUND) {
                    tokio::time::sleep(every.min(LOOK_EVERY)).await;
                    continue;
                }
                if let Err(failure) = sweep(&app).await {
                    let reason = failure.inside().unwrap_or_else(|| failure.message());
                    tracing::warn!(reason, "cannot look whose account ends, will try again");
                }
                tokio::time::sleep(every).await;
            }
        })
    })
}

async fn sweep(app: &App) -> Result<(), Failure> {
    begin_all(app).await?;
    let settings = &app.config.account_validity;
    if settings.renew_at_ms == 0 || app.third_party.mailer.is_none() {
        return Ok(());
    }
    let until_ms = app.env().now_ms().saturating_add(settings.renew_at_ms);
    let mut after = String::new();
    loop {
        let page = (after.as_str(), PAGE_USERS);
        let found = app.house.ending_accounts(until_ms, page).await?;
        let Some((last, _)) = found.last() else {
            return Ok(());
        };
        after = last.to_string();
        for (user_id, end_ms) in found {
            if let Err(failure) = warn(app, &user_id, end_ms).await {
                // Others are not to wait for an address that takes no mail.
                let reason = failure.inside().unwrap_or_else(|| failure.message());
                tracing::warn!(%user_id, reason, "cannot mail how to renew an account, will try again");
            }
        }
    }
}

async fn warn(app: &App, user_id: &UserId, end_ms: u64) -> Result<(), Failure> {
    // Who has no address yet is mailed as soon as there is one.
    if mail(app, Language::ENGLISH, (user_id, end_ms)).await? > 0 {
        app.house.note_renewal_mail(user_id, end_ms).await?;
    }
    Ok(())
}

/// Accounts from before there were ends get one: not all the same, so that not all are mailed on one day.
async fn begin_all(app: &App) -> Result<(), Failure> {
    let period_ms = app.config.account_validity.period_ms;
    let mut after = String::new();
    loop {
        let found = app.house.endless_accounts(&after, PAGE_USERS).await?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = last.to_string();
        for user_id in found {
            let random = u64::from_le_bytes(app.env().random_bytes());
            let less_ms = random % (period_ms / 10).max(1);
            let until_ms = app.env().now_ms().saturating_add(period_ms - less_ms);
            app.house.set_validity(&user_id, until_ms).await?;
        }
    }
}

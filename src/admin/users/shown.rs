//! An account as administrators see it.

use playhouse_actors::user::{UserAnswer, UserQuery, message::Account};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::edge::{App, Failure};

/// An account. What this server knows nothing of is null.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    name: OwnedUserId,
    displayname: Option<String>,
    avatar_url: Option<String>,
    threepids: Vec<Threepid>,
    external_ids: Vec<ExternalId>,
    is_guest: bool,
    admin: bool,
    deactivated: bool,
    erased: bool,
    locked: bool,
    suspended: bool,
    shadow_banned: bool,
    /// Seconds since the Unix epoch, other than everywhere else: tools know it so.
    creation_ts: u64,
    last_seen_ts: Option<u64>,
    appservice_id: Option<String>,
    consent_server_notice_sent: Option<String>,
    consent_version: Option<String>,
    consent_ts: Option<u64>,
    user_type: Option<String>,
}

/// An address of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Threepid {
    medium: String,
    address: String,
    added_at: u64,
    validated_at: u64,
}

/// An identity of an account at another system.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ExternalId {
    auth_provider: String,
    external_id: String,
}

/// Gathers what there is to tell of an account.
pub(super) async fn shown(app: &App, account: Account) -> Result<Shown, Failure> {
    let user_id = &account.user_id;
    let profile = app.house.profile(user_id).await?;
    let text = |name: &str| {
        let (_, json) = profile.iter().find(|(field, _)| field == name)?;
        serde_json::from_str(json).ok()
    };
    let threepids = app.house.threepids(user_id).await?;
    let externals = app.house.externals_of(user_id).await?;
    let (consent_version, consent_ts) = account
        .terms
        .map(|terms| (terms.version, terms.at_ms))
        .unzip();
    Ok(Shown {
        displayname: text("displayname"),
        avatar_url: text("avatar_url"),
        threepids: threepids
            .into_iter()
            .map(|claim| Threepid {
                medium: claim.medium,
                address: claim.address,
                added_at: claim.added_ms,
                validated_at: claim.validated_ms,
            })
            .collect(),
        external_ids: externals
            .into_iter()
            .map(|identity| ExternalId {
                auth_provider: identity.provider,
                external_id: identity.subject,
            })
            .collect(),
        is_guest: account.guest,
        admin: account.admin,
        deactivated: account.deactivated,
        erased: account.erased,
        locked: account.locked,
        suspended: account.suspended,
        shadow_banned: account.shadow_banned,
        creation_ts: account.created_ms / 1000,
        last_seen_ts: last_seen_ms(app, user_id).await?,
        appservice_id: None,
        consent_server_notice_sent: None,
        consent_version,
        consent_ts,
        user_type: account.user_type,
        name: account.user_id,
    })
}

async fn last_seen_ms(app: &App, user_id: &ruma::UserId) -> Result<Option<u64>, Failure> {
    let query = UserQuery::Devices { device_id: None };
    let UserAnswer::Devices(devices) = app.house.user_query(user_id, query).await? else {
        return Err(Failure::internal("unexpected answer to Devices"));
    };
    let seen = devices.into_iter().filter_map(|device| device.last_seen_ms);
    Ok(seen.max())
}

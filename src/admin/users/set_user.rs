//! `PUT /_synapse/admin/v2/users/{user_id}`

use std::sync::Arc;

use actix_web::http::StatusCode;
use playhouse_actors::{
    house::{AccountWish, HouseError},
    threepid::Address,
    user::UserError,
};
use playhouse_schema::record::external::Identity;
use ruma::{
    OwnedUserId, UserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use super::{
    close, must_be_local, must_stay,
    shown::{Shown, shown},
};
use crate::{
    admin::{fields::given, only_administrators},
    edge::{App, Failure, Prepared, RawJson, Session},
};

metadata! {
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/users/{user_id}",
}

/// What an account is to be; what is not named stays.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// A new password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    /// A new password ends all sessions.
    #[serde(default = "ruma::serde::default_true")]
    pub(crate) logout_devices: bool,
    /// The display name; null removes it.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) displayname: Option<Option<String>>,
    /// The avatar; null removes it.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) avatar_url: Option<Option<String>>,
    /// Server administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<bool>,
    /// Closed; `false` opens a closed account again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deactivated: Option<bool>,
    /// Locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) locked: Option<bool>,
    /// `bot`, `support` or null.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) user_type: Option<Option<String>>,
    /// All addresses; others are taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threepids: Option<Vec<Threepid>>,
    /// All identities at other systems; others are taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external_ids: Option<Vec<ExternalId>>,
}

/// The account as it is now.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) account: Shown,
}

/// An address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Threepid {
    medium: String,
    address: String,
}

/// An identity at another system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExternalId {
    auth_provider: String,
    external_id: String,
}

/// Makes an account (201), or changes one (200).
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Prepared, Failure> {
    only_administrators(&caller)?;
    let user_id = request.user_id.clone();
    must_be_local(&app, &user_id)?;
    must_stay(&caller, &user_id, request.admin)?;
    let reopens = request.deactivated == Some(false);
    let deactivated = request.deactivated == Some(true);
    if deactivated && request.locked == Some(true) {
        return Err(Failure::invalid_param(
            "an account that is closed cannot be locked",
        ));
    }
    let mut wish = wish(request)?;
    if !deactivated {
        must_be_open(&app, &user_id, reopens, &mut wish).await?;
    }
    let made = app.house.set_account(&user_id, wish).await?;
    if deactivated {
        close(&app, &user_id, false).await?;
    }
    let account = shown(&app, app.house.account(&user_id).await?).await?;
    let body = serde_json::to_vec(&account).map_err(Failure::internal)?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(Prepared::from(RawJson(body.into())).with_status(status))
}

/// Opens a closed account again where that is asked for, with the password that is wished. Otherwise nothing of it is changed.
async fn must_be_open(
    app: &App,
    user_id: &UserId,
    reopens: bool,
    wish: &mut AccountWish,
) -> Result<(), Failure> {
    match app.house.account(user_id).await {
        Ok(account) if account.deactivated => {}
        Ok(_) | Err(HouseError::User(UserError::UnknownUser)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if !reopens {
        return Err(Failure::invalid_param(
            "this account is closed: it is changed only where deactivated is false, which opens it again",
        ));
    }
    let password = wish.password.as_ref().map(|(password, _)| password.clone());
    if app.house.reopen(user_id, password).await? {
        wish.password = None;
    }
    Ok(())
}

fn wish(request: Request) -> Result<AccountWish, Failure> {
    if let Some(Some(user_type)) = &request.user_type
        && !["bot", "support"].contains(&user_type.as_str())
    {
        return Err(Failure::invalid_param("user_type is not bot or support"));
    }
    let threepids = request.threepids.map(|threepids| {
        let addresses = threepids.iter().map(|threepid| {
            Address::new(&threepid.medium, &threepid.address)
                .ok_or_else(|| Failure::invalid_param("this is no e-mail address or phone number"))
        });
        addresses.collect::<Result<Vec<_>, _>>()
    });
    let externals = request.external_ids.map(|externals| {
        let identities = externals.into_iter().map(|external| Identity {
            provider: external.auth_provider,
            subject: external.external_id,
        });
        identities.collect()
    });
    let logout = request.logout_devices;
    Ok(AccountWish {
        password: request.password.map(|password| (password, logout)),
        displayname: request.displayname,
        avatar_url: request.avatar_url,
        admin: request.admin,
        locked: request.locked,
        user_type: request.user_type,
        threepids: threepids.transpose()?,
        externals,
    })
}

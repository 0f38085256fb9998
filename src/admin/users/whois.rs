//! `GET /_synapse/admin/v1/whois/{user_id}`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedUserId,
    api::{
        auth_scheme::AccessToken,
        client::admin::get_user_info::v3::{DeviceInfo, SessionInfo},
        request, response,
    },
    metadata,
};

use super::local_account;
use crate::{
    admin::only_administrators,
    client::admin::get_user_info,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/whois/{user_id}",
}

/// Asks from where an account was used.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// From where it was used.
#[response]
pub(crate) struct Response {
    /// Whose it is.
    pub(crate) user_id: OwnedUserId,
    /// By device.
    pub(crate) devices: BTreeMap<String, DeviceInfo>,
}

/// Tells from where an account was used; to the user, or to an administrator.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    if caller.user_id != request.user_id {
        only_administrators(&caller)?;
    }
    local_account(&app, &request.user_id).await?;
    let mut session = SessionInfo::new();
    session.connections = get_user_info::connections(&app, &request.user_id).await?;
    let mut info = DeviceInfo::new();
    info.sessions = vec![session];
    // Tools look under a device without a name, and nowhere else.
    let devices = BTreeMap::from([(String::new(), info)]);
    Ok(Response {
        user_id: request.user_id,
        devices,
    })
}

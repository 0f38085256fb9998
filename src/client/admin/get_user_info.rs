//! `GET /_matrix/client/*/admin/whois/{userId}`

use std::{collections::BTreeMap, sync::Arc};

use playhouse_actors::user::{UserAnswer, UserQuery, message::Device};
use ruma::{
    MilliSecondsSinceUnixEpoch, UInt, UserId,
    api::client::admin::get_user_info::v3::{
        ConnectionInfo, DeviceInfo, Request, Response, SessionInfo,
    },
};

use super::account;
use crate::edge::{App, Failure, Session};

/// Tells from where an account was used; to the user, or to an administrator.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    if caller.user_id != request.user_id {
        account(&app, &caller, &request.user_id).await?;
    }
    let mut response = Response::new();
    response.devices = devices(&app, &request.user_id).await?;
    response.user_id = Some(request.user_id);
    Ok(response)
}

/// From where the devices of a user were used.
async fn devices(app: &App, user_id: &UserId) -> Result<BTreeMap<String, DeviceInfo>, Failure> {
    let known = known(app, user_id).await?.into_iter();
    let shown = known.map(|device| (device.device_id.to_string(), shown(&device)));
    Ok(shown.collect())
}

/// From where a user was seen, whatever the device.
pub(crate) async fn connections(
    app: &App,
    user_id: &UserId,
) -> Result<Vec<ConnectionInfo>, Failure> {
    let known = known(app, user_id).await?.into_iter();
    let seen = known.filter(|device| device.last_seen_ms.is_some());
    Ok(seen.map(|device| connection(&device)).collect())
}

async fn known(app: &App, user_id: &UserId) -> Result<Vec<Device>, Failure> {
    let query = UserQuery::Devices { device_id: None };
    match app.house.user_query(user_id, query).await? {
        UserAnswer::Devices(devices) => Ok(devices),
        _ => Err(Failure::internal("unexpected answer to Devices")),
    }
}

/// The last connection of a device: older ones are not kept.
fn shown(device: &Device) -> DeviceInfo {
    let mut session = SessionInfo::new();
    session.connections = vec![connection(device)];
    let mut info = DeviceInfo::new();
    info.sessions = vec![session];
    info
}

fn connection(device: &Device) -> ConnectionInfo {
    let mut connection = ConnectionInfo::new();
    connection.ip = device.last_seen_address.clone();
    connection.last_seen = device
        .last_seen_ms
        .and_then(UInt::new)
        .map(MilliSecondsSinceUnixEpoch);
    connection.user_agent = device.user_agent.clone();
    connection
}

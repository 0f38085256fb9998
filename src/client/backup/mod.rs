//! Server-side key backups (client-server API, "Server-side key backups").

mod add_backup_keys;
mod add_backup_keys_for_room;
mod add_backup_keys_for_session;
mod create_backup_version;
mod delete_backup_keys;
mod delete_backup_keys_for_room;
mod delete_backup_keys_for_session;
mod delete_backup_version;
mod get_backup_info;
mod get_backup_keys;
mod get_backup_keys_for_room;
mod get_backup_keys_for_session;
mod get_latest_backup_info;
mod sessions;
mod update_backup_version;

use bytes::Bytes;
use playhouse_actors::backup::{
    BackupReply,
    message::{Description, Selection},
};
use ruma::api::client::backup as api;
use serde_json::{json, value::RawValue};

use crate::{
    client::{page, query::parameter},
    edge::{Arguments, Failure, RawJson, Routes},
};

/// Clients send 200 sessions of about a kilobyte at once, old ones with long histories more.
const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_fast::<api::create_backup_version::v3::Request, _, _, _, _>(
        create_backup_version::handle,
    );
    routes.mount_fast::<api::get_latest_backup_info::v3::Request, _, _, _, _>(
        get_latest_backup_info::handle,
    );
    routes.mount_fast::<api::get_backup_info::v3::Request, _, _, _, _>(get_backup_info::handle);
    routes.mount_fast::<api::update_backup_version::v3::Request, _, _, _, _>(
        update_backup_version::handle,
    );
    routes.mount_fast::<api::delete_backup_version::v3::Request, _, _, _, _>(
        delete_backup_version::handle,
    );
    mount_keys(routes);
}

fn mount_keys(routes: &mut Routes) {
    routes
        .mount_fast::<api::add_backup_keys::v3::Request, _, _, _, _>(add_backup_keys::handle)
        .body_bytes_max(BODY_BYTES_MAX);
    routes
        .mount_fast::<api::add_backup_keys_for_room::v3::Request, _, _, _, _>(
            add_backup_keys_for_room::handle,
        )
        .body_bytes_max(BODY_BYTES_MAX);
    routes.mount_fast::<api::add_backup_keys_for_session::v3::Request, _, _, _, _>(
        add_backup_keys_for_session::handle,
    );
    routes.mount_fast::<api::get_backup_keys::v3::Request, _, _, _, _>(get_backup_keys::handle);
    routes.mount_fast::<api::get_backup_keys_for_room::v3::Request, _, _, _, _>(
        get_backup_keys_for_room::handle,
    );
    routes.mount_fast::<api::get_backup_keys_for_session::v3::Request, _, _, _, _>(
        get_backup_keys_for_session::handle,
    );
    routes
        .mount_fast::<api::delete_backup_keys::v3::Request, _, _, _, _>(delete_backup_keys::handle);
    routes.mount_fast::<api::delete_backup_keys_for_room::v3::Request, _, _, _, _>(
        delete_backup_keys_for_room::handle,
    );
    routes.mount_fast::<api::delete_backup_keys_for_session::v3::Request, _, _, _, _>(
        delete_backup_keys_for_session::handle,
    );
}

/// `version`, which every request about sessions must carry.
fn version(arguments: &Arguments) -> Result<String, Failure> {
    parameter(arguments.query.as_deref(), "version")
        .filter(|version| !version.is_empty())
        .ok_or_else(|| Failure::missing_param("version is missing"))
}

/// The sessions that a path names: all, those of a room, or one.
fn selection(arguments: &Arguments) -> Result<Selection, Failure> {
    Ok(Selection {
        version: version(arguments)?,
        room_id: arguments.path.first().cloned(),
        session_id: arguments.path.get(1).cloned(),
    })
}

/// A version as clients see it.
fn described(version: &Description) -> RawJson {
    page::Object::new()
        .text("algorithm", &version.algorithm)
        .raw("auth_data", version.auth_data.as_bytes())
        .raw("count", version.extent.count.to_string().as_bytes())
        .text("etag", &version.extent.etag)
        .text("version", &version.version)
        .finish()
}

/// What the version holds after a change.
fn extent(reply: BackupReply) -> Result<RawJson, Failure> {
    let BackupReply::Extent(extent) = reply else {
        return Err(Failure::internal(
            "unexpected answer to a change of a backup",
        ));
    };
    let answer = json!({ "count": extent.count, "etag": extent.etag });
    Ok(RawJson(Bytes::from(answer.to_string())))
}

/// A text out of JSON that came.
fn text(json: &RawValue) -> String {
    json.get().to_owned()
}

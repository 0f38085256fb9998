//! `GET /_matrix/client/*/capabilities`

use std::{collections::BTreeMap, sync::Arc};

use playhouse_actors::room::VERSIONS;
use ruma::{
    RoomVersionId,
    api::client::discovery::get_capabilities::v3::{
        AccountModerationCapability, Capabilities, ChangePasswordCapability,
        ForgetForcedUponLeaveCapability, GetLoginTokenCapability, ProfileFieldsCapability, Request,
        Response, RoomVersionStability, RoomVersionsCapability, ThirdPartyIdChangesCapability,
    },
};

use crate::edge::{App, Failure, Session};

/// Tells what the caller may change and which room versions there are.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    let default = RoomVersionId::try_from(app.config.rooms.default_version.as_str())
        .map_err(Failure::internal)?;
    let available: BTreeMap<_, _> = VERSIONS
        .into_iter()
        .map(|version| (version, RoomVersionStability::Stable))
        .collect();
    let mut capabilities = Capabilities::new();
    capabilities.room_versions = RoomVersionsCapability::new(default, available);
    capabilities.change_password =
        ChangePasswordCapability::new(!caller.guest && app.config.passwords.local);
    capabilities.get_login_token = GetLoginTokenCapability::new(!caller.guest);
    capabilities.thirdparty_id_changes =
        ThirdPartyIdChangesCapability::new(app.config.email.changes);
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    let forgets = app.config.rooms.forget_on_leave;
    capabilities.forget_forced_upon_leave = ForgetForcedUponLeaveCapability::new(forgets);
    let unstable = serde_json::json!({ "enabled": forgets });
    capabilities.set("org.matrix.msc4267.forget_forced_upon_leave", unstable)?;
    let related = serde_json::json!({ "enabled": true });
    capabilities.set("im.nheko.msc3664.related_event_match", related)?;
    capabilities.account_moderation = AccountModerationCapability::new(caller.admin, caller.admin);
    Ok(Response::new(capabilities))
}

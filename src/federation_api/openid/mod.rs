//! Who a user is, for third parties.

mod get_openid_userinfo;

use ruma::api::federation::openid::get_openid_userinfo::v1::Request as UserInfo;

use crate::{config::Resource, edge::Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<UserInfo, _, _, _, _>(get_openid_userinfo::handle)
        .resource(Resource::Federation);
}

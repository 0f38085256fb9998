//! Invites to addresses, once it is known whose they are.

mod bind_callback;
mod exchange_invite;

use ruma::api::federation::thirdparty::{
    bind_callback::v1::Request as Bound, exchange_invite::v1::Request as Exchange,
};

use crate::{
    config::Resource,
    edge::{Class, Routes},
};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_raw::<Exchange, _, _, _>(exchange_invite::handle);
    routes
        .mount_fast::<Bound, _, _, _, _>(bind_callback::handle)
        .resource(Resource::Federation)
        .class(Class::ThirdParty);
    routes
        .mount_fast::<bind_callback::Request, _, _, _, _>(bind_callback::handle)
        .resource(Resource::Federation)
        .class(Class::ThirdParty);
}

//! Threads (client-server API, "Threading").

mod get_thread_subscription;
mod get_thread_subscriptions_changes;
mod get_threads;
mod subscribe_thread;
mod unsubscribe_thread;

use ruma::api::client::threads::get_threads::v1::Request;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw::<Request, _, _, _, _>(get_threads::handle);
    routes.mount(subscribe_thread::handle);
    routes.mount(unsubscribe_thread::handle);
    routes.mount(get_thread_subscription::handle);
    routes.mount(get_thread_subscriptions_changes::handle);
}

//! Reporting users.

mod report_user;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(report_user::handle);
}

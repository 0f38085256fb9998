//! What administrators may ask about the server itself, and what it does in the background.

mod background_updates;
mod experimental_features;
mod scheduled_tasks;
mod server_version;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(server_version::handle);
    routes.mount(background_updates::handle);
    routes.mount(background_updates::switch::handle);
    routes.mount(background_updates::status::handle);
    routes.mount(background_updates::start::handle);
    routes.mount(experimental_features::handle);
    routes.mount(experimental_features::change::handle);
    routes.mount(scheduled_tasks::handle);
}

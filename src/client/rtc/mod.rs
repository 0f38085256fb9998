//! Calls of many.

mod transports;

use serde_json::Value;

use crate::edge::{App, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<transports::Request, _, _, _, _>(transports::handle)
        .guests();
}

/// What carries calls, as the operator has set it.
pub(super) fn transports(app: &App) -> Vec<Value> {
    let tables = app.config.rtc.transports.iter();
    tables
        .filter_map(|table| serde_json::to_value(table).ok())
        .collect()
}

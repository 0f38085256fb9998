//! Push rules (client-server API, "Push Rules").

mod get_pushrules_all;
mod get_pushrules_global_scope;

use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::push::Ruleset;
use serde::Deserialize;

use crate::edge::{App, Failure, Routes, Session};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_pushrules_all::handle);
    routes.mount(get_pushrules_global_scope::handle);
}

#[derive(Deserialize)]
struct PushRules {
    global: Ruleset,
}

/// The caller's rules; the server's defaults when there are none of the caller's own.
async fn rules(app: &App, caller: &Session) -> Result<Ruleset, Failure> {
    let query = UserQuery::AccountData {
        room_id: None,
        event_type: "m.push_rules".to_owned(),
    };
    match app.house.user_query(&caller.user_id, query).await? {
        UserAnswer::Json(json) => {
            let rules: PushRules = serde_json::from_str(&json).map_err(Failure::internal)?;
            Ok(rules.global)
        }
        _ => Err(Failure::internal("unexpected answer to AccountData")),
    }
}

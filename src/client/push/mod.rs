//! Push rules and pushers (client-server API, "Push Notifications").

mod delete_pushrule;
mod get_notifications;
mod get_pushers;
mod get_pushrule;
mod get_pushrule_actions;
mod get_pushrule_enabled;
mod get_pushrules_all;
mod get_pushrules_global_scope;
pub(crate) mod mails;
mod set_pusher;
mod set_pushrule;
mod set_pushrule_actions;
mod set_pushrule_enabled;
pub(crate) mod unsubscribe;

use actix_web::http::Method;
use playhouse_actors::user::{PushRuleChange, UserAnswer, UserCommand, UserQuery};
use ruma::{
    api::client::push::{PushRule, get_notifications as notifications, get_pushers as pushers},
    push::{RuleKind, Ruleset},
};
use serde::Deserialize;

use crate::edge::{App, Failure, Routes, Session};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_pushrules_all::handle);
    routes.mount(get_pushrules_global_scope::handle);
    routes.mount_raw::<pushers::v3::Request, _, _, _, _>(get_pushers::handle);
    routes.mount_raw::<notifications::v3::Request, _, _, _, _>(get_notifications::handle);
    routes.mount_whole(set_pusher::handle);
    routes
        .mount_page(Method::GET, unsubscribe::PATH, unsubscribe::page)
        .also("/_matrix/client/unstable/pushers/remove");
    routes
        .mount_page(Method::POST, unsubscribe::PATH, unsubscribe::form)
        .also("/_matrix/client/unstable/pushers/remove");
    routes.mount(get_pushrule::handle);
    routes.mount(set_pushrule::handle);
    routes.mount(delete_pushrule::handle);
    routes.mount(get_pushrule_enabled::handle);
    routes.mount(set_pushrule_enabled::handle);
    routes.mount(get_pushrule_actions::handle);
    routes.mount(set_pushrule_actions::handle);
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

/// One of the caller's rules.
async fn rule(
    app: &App,
    caller: &Session,
    kind: RuleKind,
    rule_id: &str,
) -> Result<PushRule, Failure> {
    let rules = rules(app, caller).await?;
    let rule = rules.get(kind, rule_id);
    rule.map(PushRule::from)
        .ok_or_else(|| Failure::not_found("no such push rule"))
}

async fn change(app: &App, caller: &Session, change: PushRuleChange) -> Result<(), Failure> {
    let command = UserCommand::ChangePushRules(Box::new(change));
    app.house.user_command(&caller.user_id, command).await?;
    Ok(())
}

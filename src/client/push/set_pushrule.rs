//! `PUT /_matrix/client/*/pushrules/global/{kind}/{ruleId}`

use std::sync::Arc;

use playhouse_actors::user::{PushRule, PushRuleChange};
use ruma::api::client::push::set_pushrule::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Makes a rule of the caller's own, or replaces it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let rule = PushRule::from_new(request.rule)
        .ok_or_else(|| Failure::invalid_param("there are no push rules of this kind"))?;
    let change = PushRuleChange::Put {
        rule,
        before: request.before,
        after: request.after,
    };
    super::change(&app, &caller, change).await?;
    Ok(Response::new())
}

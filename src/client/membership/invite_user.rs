//! `POST /_matrix/client/*/rooms/{roomId}/invite`

use std::sync::Arc;

use ruma::api::client::membership::invite_user::v3::{InvitationRecipient, Request, Response};

use super::invite_address;
use crate::edge::{App, Failure, Session};

/// Invites a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    super::may_invite(&app, &caller)?;
    if caller.shadow_banned {
        return Ok(Response::new());
    }
    let invited = match request.recipient {
        InvitationRecipient::UserId(invited) => invited,
        InvitationRecipient::ThirdPartyId(invited) => {
            let place = (&*request.room_id, false);
            invite_address::invite(&app, &caller, place, &invited).await?;
            return Ok(Response::new());
        }
        _ => return Err(Failure::bad_json("whom to invite?")),
    };
    let wish = super::wish(&caller, request.room_id, invited.user_id, invited.reason);
    app.house.invite(wish, false).await?;
    Ok(Response::new())
}

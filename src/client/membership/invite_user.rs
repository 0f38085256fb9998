//! `POST /_matrix/client/*/rooms/{roomId}/invite`

use std::sync::Arc;

use ruma::api::client::membership::invite_user::v3::{InvitationRecipient, Request, Response};

use super::{invite_address, permission};
use crate::edge::{App, Failure, Session};

/// Invites a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    let room_id = &*request.room_id;
    let whom = match &request.recipient {
        InvitationRecipient::UserId(invited) => invited.user_id.as_str(),
        InvitationRecipient::ThirdPartyId(invited) => invited.address.as_str(),
        _ => return Err(Failure::bad_json("whom to invite?")),
    };
    permission::may_invite_to(&app, &caller, (room_id, whom)).await?;
    if caller.shadow_banned {
        return Ok(Response::new());
    }
    let invited = match request.recipient {
        InvitationRecipient::UserId(invited) => invited,
        InvitationRecipient::ThirdPartyId(invited) => {
            let place = (room_id, false);
            invite_address::invite(&app, &caller, place, &invited).await?;
            return Ok(Response::new());
        }
        _ => return Err(Failure::bad_json("whom to invite?")),
    };
    let wish = super::wish(&caller, request.room_id, invited.user_id, invited.reason);
    app.house.invite(wish, false).await?;
    Ok(Response::new())
}

//! `POST /_matrix/client/*/rooms/{roomId}/invite`

use std::sync::Arc;

use ruma::api::{
    client::membership::invite_user::v3::{InvitationRecipient, Request, Response},
    error::ErrorCode,
};

use crate::edge::{App, Failure, Session};

/// Invites a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    let InvitationRecipient::UserId(invited) = request.recipient else {
        return Err(Failure::new(
            ErrorCode::ThreepidDenied,
            "no identity server is configured through which an address could be invited",
        ));
    };
    let wish = super::wish(&caller, request.room_id, invited.user_id, invited.reason);
    app.house.invite(wish, false).await?;
    Ok(Response::new())
}

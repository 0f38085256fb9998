//! `GET /_matrix/client/*/account/3pid`

use std::sync::Arc;

use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::client::account::get_3pids::v3::{Request, Response},
    thirdparty::{Medium, ThirdPartyIdentifier, ThirdPartyIdentifierInit},
};

use crate::edge::{App, Failure, Session};

/// Tells the addresses of the caller's account.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    let time = |ms: u64| MilliSecondsSinceUnixEpoch(UInt::new_saturating(ms));
    let claims = app.house.threepids(&caller.user_id).await?;
    let known: Vec<ThirdPartyIdentifier> = claims
        .into_iter()
        .map(|claim| {
            ThirdPartyIdentifierInit {
                address: claim.address,
                medium: Medium::from(claim.medium),
                validated_at: time(claim.validated_ms),
                added_at: time(claim.added_ms),
            }
            .into()
        })
        .collect();
    Ok(Response::new(known))
}

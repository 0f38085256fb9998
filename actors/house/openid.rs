//! Tokens by which somebody else can make sure who a user is (client-server API, "OpenID").
//!
//! A token says whom it is about and until when, and is signed: nothing is stored, and it outlives a restart. What is signed begins like nothing else that this
//! server signs.

use ruma::{
    OwnedUserId, UserId,
    serde::{Base64, base64::UrlSafe},
    signatures::KeyPair as _,
};

use super::{House, HouseError, surprise};
use crate::user::{UserAnswer, UserError, UserQuery};

/// Tokens are good for so long.
const LIFE_MS: u64 = 60 * 60 * 1000;

/// What precedes the signed text.
const PURPOSE: &str = "openid token of ";

/// Tokens are about so many characters long; longer texts are none.
const TOKEN_CHARACTERS_MAX: usize = 1_024;

impl House {
    /// A token about a user of this server, and for how many milliseconds it is good.
    pub fn openid_token(&self, user_id: &UserId) -> (String, u64) {
        let until_ms = self.env.now_ms() + LIFE_MS;
        let claim = format!("{until_ms} {} {user_id}", self.env.random_string(8));
        let signature = self.openid_signature(&claim);
        let claim = Base64::<UrlSafe>::new(claim.into_bytes());
        (format!("{claim}.{signature}"), LIFE_MS)
    }

    /// Whom a token is about; `None` when it is none of this server's, or none any more.
    pub async fn openid_user(&self, token: &str) -> Result<Option<OwnedUserId>, HouseError> {
        let Some((user_id, made_ms)) = self.read_openid_token(token) else {
            return Ok(None);
        };
        match self.user_query(&user_id, UserQuery::Account).await {
            Ok(UserAnswer::Account(account)) => {
                // One from before the account was closed ended with it.
                let is_of_this_life = account.reopened_ms.is_none_or(|since| made_ms > since);
                let holds = !account.deactivated && !account.locked && is_of_this_life;
                Ok(holds.then_some(user_id))
            }
            Ok(_) => Err(surprise("Account")),
            Err(UserError::UnknownUser) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whom a token is about, and when it was made.
    fn read_openid_token(&self, token: &str) -> Option<(OwnedUserId, u64)> {
        if token.len() > TOKEN_CHARACTERS_MAX {
            return None;
        }
        let (claim, signature) = token.split_once('.')?;
        let claim = Base64::<UrlSafe>::parse(claim).ok()?;
        let claim = std::str::from_utf8(claim.as_bytes()).ok()?;
        // Such signatures are the same each time.
        if self.openid_signature(claim) != signature {
            return None;
        }
        let mut parts = claim.splitn(3, ' ');
        let until_ms: u64 = parts.next()?.parse().ok()?;
        let user_id = parts.nth(1)?;
        if self.env.now_ms() >= until_ms {
            return None;
        }
        let user_id = UserId::parse(user_id).ok()?;
        Some((user_id, until_ms.saturating_sub(LIFE_MS)))
    }

    fn openid_signature(&self, claim: &str) -> String {
        let signed = format!("{PURPOSE}{claim}");
        let signature = self.env.identity.signer.sign(signed.as_bytes());
        Base64::<UrlSafe, _>::new(signature.as_bytes()).encode()
    }
}

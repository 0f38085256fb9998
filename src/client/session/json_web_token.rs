//! `org.matrix.login.jwt`: logging in by a token that another system has signed.

use std::sync::Arc;

use jsonwebtoken::Validation;
use playhouse_actors::{
    house::{HouseError, NewAccount},
    user::{
        UserError,
        message::{LoggedIn, Login},
    },
};
use ruma::OwnedUserId;
use serde_json::{Map, Value};

use crate::{
    config::Jwt,
    edge::{App, Failure},
};

/// Checks the token and begins a session for whom it names; makes the account when there is none.
pub(super) async fn login(
    app: &Arc<App>,
    token: &str,
    login: Login,
) -> Result<(OwnedUserId, LoggedIn), Failure> {
    let jwt = &app.config.jwt;
    let claims = claims(jwt, token)?;
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let Some(localpart) = text(&jwt.subject_claim) else {
        return Err(Failure::forbidden("the token names no user"));
    };
    let displayname = jwt.display_name_claim.as_deref().and_then(text);
    let user_id = account(app, localpart, displayname).await?;
    let session = app.house.login(&user_id, login).await?;
    Ok((user_id, session))
}

/// What a token says, if it is signed, for us and not too old.
fn claims(jwt: &Jwt, token: &str) -> Result<Map<String, Value>, Failure> {
    let (algorithm, key) = jwt
        .key()
        .ok_or_else(|| Failure::internal("[jwt] secret does not fit algorithm"))?;
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_nbf = true;
    if let Some(issuer) = &jwt.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    if jwt.audiences.is_empty() {
        validation.validate_aud = false;
    } else {
        validation.set_audience(&jwt.audiences);
        validation.required_spec_claims.insert("aud".to_owned());
    }
    jsonwebtoken::decode(token, &key, &validation)
        .map(|decoded| decoded.claims)
        .map_err(|error| Failure::forbidden(format!("the token is not accepted: {error}")))
}

/// The account with this local part, made if need be.
async fn account(
    app: &Arc<App>,
    localpart: &str,
    displayname: Option<&str>,
) -> Result<OwnedUserId, Failure> {
    let new = NewAccount {
        username: Some(localpart.to_owned()),
        password: None,
        admin: false,
        guest: false,
        user_type: None,
        displayname: displayname.map(str::to_owned),
        login: None,
        token: None,
        terms: None,
    };
    match app.house.available_user_id(localpart).await {
        Ok(_) if !app.config.jwt.register => Err(Failure::forbidden("no such account")),
        Ok(user_id) => {
            app.house.must_have_room_for_newcomer(None).await?;
            match app.house.register(new).await {
                // Somebody else was faster with the same token.
                Ok(_) | Err(HouseError::User(UserError::UserInUse)) => Ok(user_id),
                Err(error) => Err(error.into()),
            }
        }
        Err(HouseError::User(UserError::UserInUse)) => {
            let user_id = format!(
                "@{}:{}",
                localpart.to_ascii_lowercase(),
                app.env().server_name()
            );
            OwnedUserId::try_from(user_id).map_err(Failure::internal)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use serde_json::json;

    use super::*;

    fn jwt() -> Jwt {
        Jwt {
            enabled: true,
            secret: Some("secret".to_owned()),
            issuer: Some("https://id.test".to_owned()),
            audiences: vec!["matrix".to_owned()],
            ..Jwt::default()
        }
    }

    fn signed(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    #[test]
    fn only_our_tokens_are_accepted() {
        let good = json!({"sub": "anna", "iss": "https://id.test", "aud": "matrix", "exp": 4_000_000_000u64});
        let token = signed(&good, "secret", Algorithm::HS256);
        assert_eq!(claims(&jwt(), &token).unwrap()["sub"], "anna");
        assert!(claims(&jwt(), &signed(&good, "other", Algorithm::HS256)).is_err());
        assert!(claims(&jwt(), &signed(&good, "secret", Algorithm::HS512)).is_err());
        for (claim, value) in [
            ("iss", json!("https://other.test")),
            ("iss", Value::Null),
            ("aud", json!(["other"])),
            ("aud", Value::Null),
            ("exp", json!(1_000)),
            ("nbf", json!(4_000_000_000u64)),
        ] {
            let mut bad = good.clone();
            bad[claim] = value;
            let token = signed(&bad, "secret", Algorithm::HS256);
            assert!(claims(&jwt(), &token).is_err(), "{bad}");
        }
    }
}

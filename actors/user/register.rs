//! Begin to exist.

use playhouse_schema::record::user::{Registered, TermsAccepted, UserRecord, ValiditySet};

use super::{
    context::UserLimits,
    error::UserError,
    json, login,
    message::{Register, UserReply},
    set_profile_field,
    state::User,
};
use crate::{env::Env, kernel::Decision};

pub(super) fn decide(
    user: &User,
    register: Register,
    env: &Env,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    if user.account.is_some() {
        return Err(UserError::UserInUse);
    }
    if user.user_id.server_name() != env.server_name() {
        return Err(UserError::InvalidParam(
            "user belongs to another server".to_owned(),
        ));
    }
    user.user_id
        .validate_strict()
        .map_err(|error| UserError::InvalidParam(error.to_string()))?;
    let mut records = vec![UserRecord::Registered(Registered {
        password_hash: register.password_hash,
        admin: register.admin,
        guest: register.guest,
        user_type: register.user_type,
        at_ms: env.now_ms(),
    })];
    if let Some(period_ms) = limits.account_period_ms.filter(|_| !register.guest) {
        let until_ms = env.now_ms().saturating_add(period_ms);
        records.push(UserRecord::ValiditySet(ValiditySet { until_ms }));
    }
    if let Some(displayname) = register.displayname {
        let text = serde_json::Value::String(displayname).to_string();
        let value = set_profile_field::checked("displayname", Some(&text))?;
        records.push(UserRecord::ProfileFieldSet(json::named(
            "displayname".to_owned(),
            value,
        )));
    }
    if let Some(version) = register.terms {
        let at_ms = env.now_ms();
        records.push(UserRecord::TermsAccepted(TermsAccepted { version, at_ms }));
    }
    let Some(login) = register.login else {
        return Ok(Decision::new(records, UserReply::Done));
    };
    let session = login::begin(user, login, env, limits)?;
    records.extend(session.records);
    Ok(Decision::new(records, session.reply))
}

//! Taking back what an administrator has changed, where how it was is known and nothing else hangs on it.

use playhouse_schema::record::{admin::ChangeTarget, standing::RateOverride};
use ruma::{RoomId, UserId};
use serde_json::{Map, Value};

use super::{Change, House, HouseError, standing::media_named};
use crate::{
    admins::{AdminError, AdminRole},
    registration::message::{RegistrationCommand, RegistrationToken, TokenChange},
    user::{UserCommand, message::AdminDecision},
};

type Fields = Map<String, Value>;

/// What keeps a user from something.
const RESTRAINTS: [&str; 3] = ["locked", "suspended", "shadow_banned"];

/// Why the end of an account is not taken back.
const CLOSED: &str = "what the account held is gone for good: it can be opened again, but that brings none of it back";

/// Why the opening of an account is not taken back.
const OPENED: &str =
    "closing would take what the account has gained since: close it as any other account instead";

/// How a change can be taken back.
#[derive(Debug)]
struct Way {
    /// The fields that it may have changed, and that are put back.
    fields: &'static [&'static str],
    /// What that takes.
    role: AdminRole,
}

/// Taking back a change.
#[derive(Debug)]
pub struct Undo {
    target: ChangeTarget,
    way: Way,
    before: Option<Fields>,
    after: Option<Fields>,
}

impl Undo {
    /// How a change is taken back; the reason where it cannot be.
    pub fn of(change: &Change) -> Result<Self, AdminError> {
        let lasting = |reason: &str| AdminError::Lasting(reason.to_owned());
        if change.undone_by.is_some() {
            return Err(lasting("it was taken back already"));
        }
        let Some(ended) = &change.ended else {
            return Err(lasting("it is not known what became of it"));
        };
        if !(200..300).contains(&ended.status) {
            return Err(lasting("it was refused, so there is nothing to take back"));
        }
        let target = ended.target.as_ref().or(change.begun.target.as_ref());
        let target =
            target.ok_or_else(|| lasting("it is about nothing of which is known how it was"))?;
        let (before, after) = (fields(&change.begun.before), fields(&ended.after));
        if let Some(reason) = turned(&before, &after) {
            return Err(lasting(reason));
        }
        let way = way(&change.begun.action, &change.begun.request)
            .map_err(|reason| AdminError::Lasting(reason.to_owned()))?;
        if (before.is_some(), after.is_some()) != was_there(&change.begun.action) {
            return Err(lasting("it is not known how it was"));
        }
        let undo = Self {
            target: target.clone(),
            way,
            before,
            after,
        };
        if undo.same(&undo.before, &undo.after) {
            return Err(lasting("it changed nothing"));
        }
        Ok(undo)
    }

    /// What it takes.
    pub fn role(&self) -> AdminRole {
        self.way.role
    }

    /// Whether two standings are the same, as far as it matters here.
    fn same(&self, one: &Option<Fields>, other: &Option<Fields>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => {
                let mut fields = self.way.fields.iter();
                fields.all(|field| one.get(*field) == other.get(*field))
            }
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Administrators are not kept from what they do by taking back what was done when they were none.
    fn must_not_restrain(&self, current: Option<&Fields>) -> Result<(), AdminError> {
        let is_so = |value: &Value| value.as_bool() == Some(true);
        let is_admin = current.and_then(|fields| fields.get("admin"));
        let mut restraints = self
            .differing()
            .filter(|&(field, value)| RESTRAINTS.contains(&field) && is_so(value));
        if is_admin.is_some_and(is_so) && restraints.next().is_some() {
            let reason = "this account is an administrator's";
            return Err(AdminError::Invalid(reason.to_owned()));
        }
        Ok(())
    }

    /// The fields to put back, with what they were.
    fn differing(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let before = self.before.iter().flatten();
        before.filter_map(|(name, value)| {
            let field = self
                .way
                .fields
                .iter()
                .find(|field| **field == name.as_str())?;
            let now = self.after.as_ref().and_then(|after| after.get(name));
            (now != Some(value)).then_some((*field, value))
        })
    }
}

fn fields(text: &Option<String>) -> Option<Fields> {
    serde_json::from_str(text.as_ref()?).ok()
}

/// How what an endpoint changes is taken back, or why that cannot be.
fn way(action: &str, request: &str) -> Result<Way, &'static str> {
    use AdminRole::{Moderate, Operate};
    let (fields, role): (&'static [&'static str], _) = match action {
        "PUT /_synapse/admin/v1/rooms/{room_id}/block" => (&["blocked"], Moderate),
        "POST /_synapse/admin/v1/users/{user_id}/shadow_ban"
        | "DELETE /_synapse/admin/v1/users/{user_id}/shadow_ban" => (&["shadow_banned"], Moderate),
        "POST /_synapse/admin/v1/users/{user_id}/override_ratelimit"
        | "DELETE /_synapse/admin/v1/users/{user_id}/override_ratelimit" => (&["rate"], Moderate),
        "PUT /_synapse/admin/v1/suspend/{user_id}"
        | "PUT /_matrix/client/v1/admin/suspend/{user_id}" => (&["suspended"], Moderate),
        "PUT /_matrix/client/v1/admin/lock/{user_id}" => (&["locked"], Moderate),
        "POST /_synapse/admin/v1/media/quarantine/{server_name}/{media_id}"
        | "POST /_synapse/admin/v1/media/unquarantine/{server_name}/{media_id}" => {
            (&["quarantined"], Moderate)
        }
        "POST /_synapse/admin/v1/registration_tokens/new"
        | "PUT /_synapse/admin/v1/registration_tokens/{token}"
        | "DELETE /_synapse/admin/v1/registration_tokens/{token}" => {
            (&["uses_allowed", "expiry_time"], Operate)
        }
        "POST /_playhouse/admin/v1/policies/{policy}/apply" => {
            if asks_for(request, "tell_servers") {
                return Err("the other servers were told, and the invites are gone");
            }
            (&["applied"], Moderate)
        }
        "PUT /_synapse/admin/v1/users/{user_id}/admin" => (&["admin"], Operate),
        "PUT /_synapse/admin/v2/users/{user_id}" => {
            if !asks_only_for(request, &["admin", "locked"]) {
                return Err("more than the flags admin and locked was asked for");
            }
            (&["admin", "locked"], Operate)
        }
        _ => return Err(lasting(action)),
    };
    Ok(Way { fields, role })
}

/// Whether there is what an endpoint changes before it does, and afterwards. Where nothing is noted although there was something, it could not be asked.
fn was_there(action: &str) -> (bool, bool) {
    match action {
        "POST /_synapse/admin/v1/registration_tokens/new" => (false, true),
        "DELETE /_synapse/admin/v1/registration_tokens/{token}" => (true, false),
        _ => (true, true),
    }
}

/// Whether the body of a request had these fields and no others.
fn asks_only_for(request: &str, known: &[&str]) -> bool {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let body = request.get("body").and_then(Value::as_object);
    body.is_some_and(|body| body.keys().all(|key| known.contains(&key.as_str())))
}

/// Whether the body of a request said yes to a field.
fn asks_for(request: &str, field: &str) -> bool {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    request["body"][field] == true
}

/// Why a change is not taken back that closed an account, or opened it again, whatever else it did.
fn turned(before: &Option<Fields>, after: &Option<Fields>) -> Option<&'static str> {
    let is_closed = |fields: &Option<Fields>| fields.as_ref()?.get("deactivated")?.as_bool();
    match (is_closed(before)?, is_closed(after)?) {
        (false, true) => Some(CLOSED),
        (true, false) => Some(OPENED),
        _ => None,
    }
}

/// Why what an endpoint does cannot be taken back.
fn lasting(action: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| action.contains(word));
    if says(&["/deactivate"]) {
        CLOSED
    } else if says(&["/reopen"]) {
        OPENED
    } else if says(&["password"]) {
        "the password that was there before is not kept"
    } else if says(&["/undo"]) {
        "it took something back: make that change again instead"
    } else if says(&["/tokens"]) {
        "a token is told once: make another one, or revoke it"
    } else if says(&["/policies"]) {
        "a policy does nothing until it is applied: write it as it was, which is noted here"
    } else if says(&["/quarantine", "/media/quarantine"]) {
        "it is not noted which of many pieces were put away by it: give them out again one by one"
    } else if action.starts_with("DELETE ") || says(&["/delete", "purge"]) {
        "what was deleted is not kept"
    } else {
        "how it was before is not noted"
    }
}

impl House {
    /// Takes a change back. Refused with `ChangedSince` when it does not stand as the change left it.
    pub async fn undo(&self, undo: &Undo, by: &str) -> Result<(), HouseError> {
        let current = self.standing_of(&undo.target).await?;
        if !undo.same(&current, &undo.after) {
            return Err(AdminError::ChangedSince.into());
        }
        undo.must_not_restrain(current.as_ref())?;
        let target = undo.target.name.as_str();
        match undo.target.kind.as_str() {
            "registration_token" => self.undo_token(target, undo).await,
            "policy_run" => self.undo_policy_run(target, by).await,
            "room" => {
                let room_id = <&RoomId>::try_from(target).map_err(|_| unfit())?;
                for (_, value) in undo.differing() {
                    self.set_room_block(room_id, by, truth(value)?).await?;
                }
                Ok(())
            }
            "media" => {
                let name = media_named(target).ok_or_else(unfit)?;
                for (_, value) in undo.differing() {
                    match truth(value)? {
                        true => self.put_away(&name, by).await?,
                        false => self.release_media(&name, by).await?,
                    };
                }
                Ok(())
            }
            _ => {
                let user_id = <&UserId>::try_from(target).map_err(|_| unfit())?;
                for (field, value) in undo.differing() {
                    self.put_back(user_id, (field, value), by).await?;
                }
                Ok(())
            }
        }
    }

    async fn put_back(
        &self,
        user_id: &UserId,
        (field, value): (&str, &Value),
        by: &str,
    ) -> Result<(), HouseError> {
        let command = match field {
            "admin" if !truth(value)? && user_id.as_str() == by => {
                let reason = "you may not demote yourself".to_owned();
                return Err(AdminError::Invalid(reason).into());
            }
            "admin" => UserCommand::SetAdmin(truth(value)?),
            "locked" => UserCommand::SetLocked(truth(value)?),
            "suspended" => UserCommand::SetSuspended(truth(value)?),
            "shadow_banned" => {
                UserCommand::Administer(AdminDecision::SetShadowBanned(truth(value)?))
            }
            "rate" => UserCommand::Administer(AdminDecision::SetRateOverride(rate(value)?)),
            _ => return Err(unfit().into()),
        };
        self.user_command(user_id, command).await?;
        Ok(())
    }

    async fn undo_token(&self, token: &str, undo: &Undo) -> Result<(), HouseError> {
        let bound = |fields: &Fields, name: &str| fields.get(name).and_then(Value::as_u64);
        let command = match (&undo.before, &undo.after) {
            (None, _) => RegistrationCommand::DeleteToken(token.to_owned()),
            (Some(before), Some(_)) => RegistrationCommand::ChangeToken(TokenChange {
                token: token.to_owned(),
                uses_max: Some(bound(before, "uses_allowed")),
                expires_ms: Some(bound(before, "expiry_time")),
            }),
            (Some(before), None) => {
                // How often it was used went with it: what was left is what it permits.
                let used = bound(before, "completed").unwrap_or(0);
                let left = bound(before, "uses_allowed").map(|most| most.saturating_sub(used));
                let token = RegistrationToken {
                    token: token.to_owned(),
                    uses_max: left,
                    expires_ms: bound(before, "expiry_time"),
                };
                RegistrationCommand::SetToken { token, new: true }
            }
        };
        self.registration_command(command).await?;
        Ok(())
    }
}

fn unfit() -> AdminError {
    AdminError::Lasting("what is noted of it does not say how it was".to_owned())
}

fn truth(value: &Value) -> Result<bool, AdminError> {
    value.as_bool().ok_or_else(unfit)
}

fn rate(value: &Value) -> Result<Option<RateOverride>, AdminError> {
    if value.is_null() {
        return Ok(None);
    }
    let number = |name: &str| {
        let number = value.get(name).and_then(Value::as_u64);
        number
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(unfit)
    };
    Ok(Some(RateOverride {
        per_second: number("messages_per_second")?,
        burst: number("burst_count")?,
    }))
}

#[cfg(test)]
mod tests {
    use playhouse_schema::record::admin::{ChangeBegun, ChangeEnded};

    use super::*;

    fn change(action: &str, request: &str, standings: (&str, &str)) -> Change {
        let target = ChangeTarget {
            kind: "user".to_owned(),
            name: "@a:b".to_owned(),
        };
        Change {
            id: 1,
            begun: ChangeBegun {
                by: "@boss:b".to_owned(),
                at_ms: 1,
                action: action.to_owned(),
                target: Some(target),
                request: request.to_owned(),
                before: Some(standings.0.to_owned()),
                undoes: None,
            },
            ended: Some(ChangeEnded {
                begun: 1,
                at_ms: 2,
                status: 200,
                target: None,
                after: Some(standings.1.to_owned()),
                undoes: None,
            }),
            undone_by: None,
        }
    }

    #[test]
    fn only_what_differs_is_put_back() {
        let (plain, admin) = (
            r#"{"admin":false,"locked":false}"#,
            r#"{"admin":true,"locked":false}"#,
        );
        let set = "PUT /_synapse/admin/v2/users/{user_id}";
        let asked = r#"{"body":{"admin":true}}"#;
        let undo = Undo::of(&change(set, asked, (plain, admin))).expect("a way");
        let back: Vec<_> = undo.differing().collect();
        assert_eq!(back, [("admin", &Value::Bool(false))]);
        assert_eq!(undo.role(), AdminRole::Operate);
        let more = r#"{"body":{"admin":true,"password":"…"}}"#;
        assert!(Undo::of(&change(set, more, (plain, admin))).is_err());
        assert!(Undo::of(&change(set, asked, (plain, plain))).is_err());
        let mut refused = change(set, asked, (plain, admin));
        if let Some(ended) = &mut refused.ended {
            ended.status = 403;
        }
        assert!(Undo::of(&refused).is_err());
        let closing = "POST /_synapse/admin/v1/deactivate/{user_id}";
        assert!(Undo::of(&change(closing, "{}", (plain, admin))).is_err());
    }

    #[test]
    fn accounts_are_closed_and_opened_anew_instead() {
        let (open, closed) = (r#"{"deactivated":false}"#, r#"{"deactivated":true}"#);
        let why = |action: &str, request: &str, standings| {
            let undo = Undo::of(&change(action, request, standings));
            undo.expect_err("it lasts").to_string()
        };
        let of = |user: &str| format!("{user}/{{user_id}}");
        let close = of("POST /_synapse/admin/v1/deactivate");
        assert!(why(&close, "{}", (open, closed)).contains(CLOSED));
        let reopen = "POST /_playhouse/admin/v1/users/{user_id}/reopen";
        assert!(why(reopen, "{}", (closed, open)).contains(OPENED));
        let set = of("PUT /_synapse/admin/v2/users");
        let asked = r#"{"body":{"deactivated":true}}"#;
        assert!(why(&set, asked, (open, closed)).contains(CLOSED));
        let asked = r#"{"body":{"deactivated":false,"password":"…"}}"#;
        assert!(why(&set, asked, (closed, open)).contains(OPENED));
        // Tools say it of open accounts, too.
        assert!(!why(&set, asked, (open, open)).contains(OPENED));
    }

    #[test]
    fn what_could_not_be_asked_is_not_taken_for_what_was_not_there() {
        let of = |action: &str, (before, after): (bool, bool)| {
            let known = r#"{"uses_allowed":3,"expiry_time":null,"completed":1}"#;
            let mut change = change(action, "{}", (known, known));
            change.begun.target = Some(ChangeTarget {
                kind: "registration_token".to_owned(),
                name: "welcome".to_owned(),
            });
            change.begun.before = change.begun.before.filter(|_| before);
            if let Some(ended) = &mut change.ended {
                ended.after = ended.after.take().filter(|_| after);
            }
            Undo::of(&change).is_ok()
        };
        let (make, set, delete) = (
            "POST /_synapse/admin/v1/registration_tokens/new",
            "PUT /_synapse/admin/v1/registration_tokens/{token}",
            "DELETE /_synapse/admin/v1/registration_tokens/{token}",
        );
        assert!(of(make, (false, true)) && of(delete, (true, false)));
        // A token that was changed would be deleted, or made anew.
        assert!(!of(set, (false, true)) && !of(set, (true, false)));
        assert!(!of(make, (true, true)) && !of(delete, (false, false)));
    }

    #[test]
    fn a_policy_is_taken_back_where_nobody_was_told() {
        let apply = "POST /_playhouse/admin/v1/policies/{policy}/apply";
        let standings = (r#"{"inviter":"*"}"#, r#"{"applied":true}"#);
        let of = |request: &str, standings| Undo::of(&change(apply, request, standings));
        let undo = of(r#"{"body":{"token":"…"}}"#, standings).expect("a way");
        assert_eq!(undo.role(), AdminRole::Moderate);
        assert!(of(r#"{"body":{"tell_servers":true}}"#, standings).is_err());
        let taken_back = (standings.0, r#"{"policy":"spam"}"#);
        assert!(of(r#"{"body":{"token":"…"}}"#, taken_back).is_err());
        let saved = change(
            "PUT /_playhouse/admin/v1/policies/{policy}",
            "{}",
            standings,
        );
        assert!(Undo::of(&saved).is_err());
    }

    #[test]
    fn an_administrator_is_not_restrained() {
        let set = "PUT /_synapse/admin/v1/suspend/{user_id}";
        let (free, kept) = (r#"{"suspended":false}"#, r#"{"suspended":true}"#);
        let fields = |text: &str| fields(&Some(text.to_owned()));
        let admin = fields(r#"{"admin":true}"#);
        let other = fields(r#"{"admin":false}"#);
        let resumed = Undo::of(&change(set, "{}", (kept, free))).expect("a way");
        assert!(resumed.must_not_restrain(admin.as_ref()).is_err());
        assert!(resumed.must_not_restrain(other.as_ref()).is_ok());
        let suspended = Undo::of(&change(set, "{}", (free, kept))).expect("a way");
        assert!(suspended.must_not_restrain(admin.as_ref()).is_ok());
    }
}

//! What administrators, and this server by itself, decide of an account.

use playhouse_schema::record::user::{RateOverride, UserRecord};
use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};

use super::{
    context::UserLimits, error::UserError, login, message::UserReply, remove_devices, state::User,
};
use crate::{env::Env, kernel::Decision};

/// A decision about an account. All answer `Done` unless they say otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AdminDecision {
    /// What sort of account it is: `bot`, `support` or nothing.
    SetUserType(Option<String>),
    /// What the user sends looks sent to the user, and reaches nobody.
    SetShadowBanned(bool),
    /// Bounds of the user's own on how fast requests come; `None`: those for everybody.
    SetRateOverride(Option<RateOverride>),
    /// Remove devices that were not seen since a time, milliseconds since the Unix epoch; those that were never seen count from when they came.
    RemoveStaleDevices {
        /// The device IDs in question, and when each was last seen as far as the asker knows.
        suspected: Vec<(String, u64)>,
        /// Devices seen since then stay.
        since_ms: u64,
    },
    /// Add a device without a session, unless it is there.
    AddDevice(OwnedDeviceId),
    /// Begin a session on a new device for an administrator, which ends at a time, milliseconds since the Unix epoch. Answers `LoggedIn`.
    LogIn {
        /// That time; `None`: it ends like any other.
        until_ms: Option<u64>,
    },
}

pub(super) fn decide(
    user: &User,
    decision: AdminDecision,
    (env, limits): (&Env, &UserLimits),
) -> Result<Decision<User>, UserError> {
    let account = user.open()?;
    let record = match decision {
        AdminDecision::SetUserType(wanted) => {
            (account.user_type != wanted).then_some(UserRecord::UserTypeSet(wanted))
        }
        AdminDecision::SetShadowBanned(wanted) => {
            (account.shadow_banned != wanted).then_some(UserRecord::ShadowBanSet(wanted))
        }
        AdminDecision::SetRateOverride(wanted) => {
            (account.rate != wanted).then_some(UserRecord::RateOverrideSet(wanted))
        }
        AdminDecision::RemoveStaleDevices {
            suspected,
            since_ms,
        } => return Ok(remove_devices::decide_stale(user, suspected, since_ms)),
        AdminDecision::AddDevice(device_id) => {
            return login::decide_device(user, device_id, limits);
        }
        AdminDecision::LogIn { until_ms } => {
            return login::decide_as(user, until_ms, (env, limits));
        }
    };
    Ok(Decision::new(record.into_iter().collect(), UserReply::Done))
}

//! `[monthly_active_users]`: how many people may use the server in a month.

use playhouse_actors::{house::ActiveSettings, threepid::Address};
use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Longer lists of reserved addresses are refused.
const RESERVED_MAX: usize = 1_000;

section! {
    /// Users who were active in the last 30 days: how many there are, and how many there may be. A user is active by any request of a device. Guests and support users do not count.
    "monthly_active_users" MonthlyActiveUsers {
        /// No more than `max_mau_value` may be active. Who comes then and has not been active in the last 30 days cannot log in, register, sync or send; administrators who are logged in can. Whom they may ask is `admin_contact` in [blocking].
        limit_usage_by_mau: bool = false;
        /// So many.
        max_mau_value: u64 = 0;
        /// They are counted, and nobody is refused: the figure is `playhouse_admin_mau_current` of the metrics.
        mau_stats_only: bool = false;
        /// New accounts do not count for so many days.
        mau_trial_days: u64 = 0;
        /// A line of the log says that somebody is refused, at most one an hour.
        mau_limit_alerting: bool = true;
        /// Addresses whose owners always have a place, each `{ medium = "email", address = "anna@example.org" }` (or `msisdn`): their accounts count whether they are active or not, and may be made when all places are taken.
        mau_limits_reserved_threepids: Vec<ReservedAddress> = Vec::new();
    }
}

/// An address whose owner always has a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservedAddress {
    /// `email` or `msisdn`.
    pub medium: String,
    /// The address.
    pub address: String,
}

impl Setting for Vec<ReservedAddress> {
    const FORM: Form = Form::Tables;
}

impl MonthlyActiveUsers {
    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<String> {
        let reserved = &self.mau_limits_reserved_threepids;
        if reserved.len() > RESERVED_MAX {
            return Some(format!("more than {RESERVED_MAX} addresses are reserved"));
        }
        let wrong = reserved
            .iter()
            .find(|reserved| reserved.parsed().is_none())?;
        Some(format!(
            "`{}` is no address of the medium `{}`",
            wrong.address, wrong.medium
        ))
    }

    /// What the house goes by.
    pub(crate) fn settings(&self, admin_contact: Option<&str>) -> ActiveSettings {
        let reserved = self.mau_limits_reserved_threepids.iter();
        ActiveSettings {
            counted: self.limit_usage_by_mau || self.mau_stats_only,
            limit: self.limit_usage_by_mau.then_some(self.max_mau_value),
            trial_ms: self.mau_trial_days.saturating_mul(DAY_MS),
            reserved: reserved.filter_map(ReservedAddress::parsed).collect(),
            warns: self.mau_limit_alerting,
            admin_contact: admin_contact.map(str::to_owned),
        }
    }
}

impl ReservedAddress {
    fn parsed(&self) -> Option<Address> {
        Address::new(&self.medium, &self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserving(medium: &str, address: &str) -> MonthlyActiveUsers {
        MonthlyActiveUsers {
            mau_limits_reserved_threepids: vec![ReservedAddress {
                medium: medium.to_owned(),
                address: address.to_owned(),
            }],
            ..MonthlyActiveUsers::default()
        }
    }

    #[test]
    fn reserved_addresses_must_be_addresses() {
        assert_eq!(MonthlyActiveUsers::default().problem(), None);
        assert_eq!(reserving("email", "a@b.test").problem(), None);
        assert!(reserving("email", "a").problem().is_some());
        assert!(reserving("post", "a@b.test").problem().is_some());
    }

    #[test]
    fn nothing_is_counted_unless_wanted() {
        let mut section = MonthlyActiveUsers::default();
        assert!(!section.settings(None).counted);
        section.max_mau_value = 5;
        section.mau_stats_only = true;
        let settings = section.settings(None);
        assert_eq!((settings.counted, settings.limit), (true, None));
        section.limit_usage_by_mau = true;
        section.mau_trial_days = 2;
        let settings = section.settings(Some("mailto:a@b.test"));
        assert_eq!((settings.limit, settings.trial_ms), (Some(5), 2 * DAY_MS));
        assert_eq!(settings.admin_contact.as_deref(), Some("mailto:a@b.test"));
    }
}

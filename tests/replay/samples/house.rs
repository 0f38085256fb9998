//! Records of the house.

use playhouse_schema::record::house::{HouseRecord, RegistrationToken};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 4;

pub(crate) fn name(record: &HouseRecord) -> &'static str {
    match record {
        HouseRecord::RegistrationTokenSet(_) => "RegistrationTokenSet",
        HouseRecord::RegistrationTokenDeleted(_) => "RegistrationTokenDeleted",
        HouseRecord::RegistrationTokenUsed(_) => "RegistrationTokenUsed",
        HouseRecord::RegistrationTokenReturned(_) => "RegistrationTokenReturned",
    }
}

pub(crate) fn all() -> Vec<Sample<HouseRecord>> {
    let token = RegistrationToken {
        token: "welcome".into(),
        uses_max: Some(300),
        expires_ms: Some(1_700_000_000_001),
    };
    let named = || "welcome".to_owned();
    vec![
        sample(
            "RegistrationTokenSet",
            HouseRecord::RegistrationTokenSet(token),
        ),
        sample(
            "RegistrationTokenUsed",
            HouseRecord::RegistrationTokenUsed(named()),
        ),
        sample(
            "RegistrationTokenReturned",
            HouseRecord::RegistrationTokenReturned(named()),
        ),
        sample(
            "RegistrationTokenDeleted",
            HouseRecord::RegistrationTokenDeleted(named()),
        ),
    ]
}

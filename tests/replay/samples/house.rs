//! Records of the house.

use playhouse_schema::record::house::{HouseRecord, RegistrationToken, Report, UsedNonce};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 7;

pub(crate) fn name(record: &HouseRecord) -> &'static str {
    match record {
        HouseRecord::RegistrationTokenSet(_) => "RegistrationTokenSet",
        HouseRecord::RegistrationTokenDeleted(_) => "RegistrationTokenDeleted",
        HouseRecord::RegistrationTokenUsed(_) => "RegistrationTokenUsed",
        HouseRecord::RegistrationTokenReturned(_) => "RegistrationTokenReturned",
        HouseRecord::Reported(_) => "Reported",
        HouseRecord::ReportDeleted(_) => "ReportDeleted",
        HouseRecord::RegistrationNonceUsed(_) => "RegistrationNonceUsed",
    }
}

pub(crate) fn all() -> Vec<Sample<HouseRecord>> {
    let token = RegistrationToken {
        token: "welcome".into(),
        uses_max: Some(300),
        expires_ms: Some(1_700_000_000_001),
    };
    let report = Report {
        reporter: "@alice:example.org".into(),
        room_id: Some("!room:example.org".into()),
        event_id: Some("$event".into()),
        user_id: Some("@bob:example.org".into()),
        reason: Some("spam".into()),
        at_ms: 1_700_000_000_001,
        sender: None,
    };
    let with_sender = Report {
        sender: Some("@bob:example.org".into()),
        ..report.clone()
    };
    let nonce = UsedNonce {
        random: "a1b2c3".into(),
        until_ms: 1_700_000_060_001,
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
        sample("Reported", HouseRecord::Reported(report)),
        sample("Reported/2", HouseRecord::Reported(with_sender)),
        sample("ReportDeleted", HouseRecord::ReportDeleted(77_000)),
        sample(
            "RegistrationNonceUsed",
            HouseRecord::RegistrationNonceUsed(nonce),
        ),
    ]
}

//! Records of OAuth clients.

use playhouse_schema::record::oauth::{ClientRegistered, OauthRecord};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 3;

pub(crate) fn name(record: &OauthRecord) -> &'static str {
    match record {
        OauthRecord::ClientRegistered(_) => "ClientRegistered",
        OauthRecord::ClientAdmitted(_) => "ClientAdmitted",
        OauthRecord::ClientsForgotten(_) => "ClientsForgotten",
    }
}

pub(crate) fn all() -> Vec<Sample<OauthRecord>> {
    let registered = ClientRegistered {
        client_id: "client".into(),
        metadata: "{}".into(),
        at_ms: 1_700_000_000_001,
    };
    vec![
        sample(
            "ClientRegistered",
            OauthRecord::ClientRegistered(registered),
        ),
        sample(
            "ClientAdmitted",
            OauthRecord::ClientAdmitted("client".into()),
        ),
        sample(
            "ClientsForgotten",
            OauthRecord::ClientsForgotten(vec!["client".into()]),
        ),
    ]
}

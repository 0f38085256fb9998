//! Records of who was active in the last month.

use playhouse_schema::record::active::{ActiveRecord, ActiveUser};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 2;

pub(crate) fn name(record: &ActiveRecord) -> &'static str {
    match record {
        ActiveRecord::Active(_) => "Active",
        ActiveRecord::Reserved(_) => "Reserved",
    }
}

pub(crate) fn all() -> Vec<Sample<ActiveRecord>> {
    let active = ActiveUser {
        user_id: "@a:house.example".into(),
        at_ms: 1_700_000_000_000,
    };
    let reserved = vec!["@a:house.example".into(), "@b:house.example".into()];
    vec![
        sample("Active", ActiveRecord::Active(active)),
        sample("Reserved", ActiveRecord::Reserved(reserved)),
    ]
}

//! Records of key backups.

use playhouse_schema::record::backup::{
    AuthDataSet, BackupRecord, SessionQuality, SessionStored, SessionsDeleted, VersionCreated,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 7;

pub(crate) fn name(record: &BackupRecord) -> &'static str {
    match record {
        BackupRecord::VersionCreated(_) => "VersionCreated",
        BackupRecord::AuthDataSet(_) => "AuthDataSet",
        BackupRecord::VersionDeleted(_) => "VersionDeleted",
        BackupRecord::SessionStored(_) => "SessionStored",
        BackupRecord::SessionsDeleted(_) => "SessionsDeleted",
        BackupRecord::Swept(_) => "Swept",
        BackupRecord::SessionErased => "SessionErased",
    }
}

pub(crate) fn all() -> Vec<Sample<BackupRecord>> {
    let created = VersionCreated {
        version: 1,
        algorithm: "m.megolm_backup.v1.curve25519-aes-sha2".into(),
        auth_data: b"{}".to_vec().into(),
    };
    let auth_data_set = AuthDataSet {
        version: 1,
        auth_data: b"{\"x\":1}".to_vec().into(),
    };
    let stored = SessionStored {
        version: 1,
        room_id: "!room:example.org".into(),
        session_id: "AAAA".into(),
        quality: SessionQuality {
            first_message_index: 300,
            forwarded_count: 2,
            is_verified: true,
        },
        data: b"{}".to_vec().into(),
        etag: 5,
    };
    let deleted = SessionsDeleted {
        version: 1,
        room_id: Some("!room:example.org".into()),
        session_id: None,
        etag: 6,
    };
    vec![
        sample("VersionCreated", BackupRecord::VersionCreated(created)),
        sample("AuthDataSet", BackupRecord::AuthDataSet(auth_data_set)),
        sample("SessionStored", BackupRecord::SessionStored(stored)),
        sample("SessionsDeleted", BackupRecord::SessionsDeleted(deleted)),
        sample("Swept", BackupRecord::Swept(vec![3, 300])),
        sample("SessionErased", BackupRecord::SessionErased),
        sample("VersionDeleted", BackupRecord::VersionDeleted(1)),
    ]
}

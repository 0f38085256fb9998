//! Records of other servers' users.

use playhouse_schema::record::peer_user::{
    FetchedDevices, Outdated, PeerDevice, PeerDeviceChanged, PeerSigningKeys, PeerUserRecord,
    SharedRoom,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 4;

pub(crate) fn name(record: &PeerUserRecord) -> &'static str {
    match record {
        PeerUserRecord::DevicesFetched(_) => "DevicesFetched",
        PeerUserRecord::DeviceChanged(_) => "DeviceChanged",
        PeerUserRecord::SigningKeysChanged(_) => "SigningKeysChanged",
        PeerUserRecord::Outdated(_) => "Outdated",
    }
}

pub(crate) fn all() -> Vec<Sample<PeerUserRecord>> {
    let keys = PeerSigningKeys {
        master: Some("{}".into()),
        self_signing: Some("{}".into()),
    };
    let fetched = FetchedDevices {
        stream_id: 5,
        devices: vec![PeerDevice {
            device_id: "A".into(),
            keys: "{}".into(),
        }],
        keys: keys.clone(),
        witness: SharedRoom {
            room_id: "!r:example.org".into(),
            since: 3,
            local_user_id: "@a:example.org".into(),
            local_since: 4,
        },
        at_ms: 1_700_000_000_000,
    };
    let changed = PeerDeviceChanged {
        stream_id: 6,
        device_id: "A".into(),
        keys: Some("{}".into()),
    };
    let outdated = Outdated {
        at_ms: 1_700_000_000_001,
    };
    vec![
        sample("DevicesFetched", PeerUserRecord::DevicesFetched(fetched)),
        sample("DeviceChanged", PeerUserRecord::DeviceChanged(changed)),
        sample(
            "SigningKeysChanged",
            PeerUserRecord::SigningKeysChanged(keys),
        ),
        sample("Outdated", PeerUserRecord::Outdated(outdated)),
    ]
}

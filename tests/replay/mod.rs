//! Recorded log records: what was ever written must be read for ever.
//!
//! `OWNER.golden` holds one line for each sample: kind, label, payload in hexadecimal. A line is never changed. To add a kind: the variant's arm in `name` and a
//! sample at the end of `all` in `samples/OWNER.rs`; the first run writes the line and fails, the second passes. A variant that got a new field keeps its
//! old sample (with the field's default) and gets another one, `Name/2`: old bytes must decode to the old sample, new records must encode to the newest.
//! Further samples of the same form have a word after the slash.

mod samples;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write as _},
    fs,
    path::PathBuf,
};

use playhouse_actors::{
    active_users::ActiveUsers,
    admins::AdminTokens,
    alias::Alias,
    backup::Backup,
    delays::Delays,
    externals::External,
    gateway::Outbox,
    joins::Joins,
    kernel::Domain,
    media::{Media, ledger::QuarantineLedger},
    oauth::Oauth,
    passes::Passes,
    peer_keys::PeerKeys,
    peer_users::PeerUser,
    purges::Purges,
    registration::Registration,
    room::Room,
    server::Server,
    threepid::Threepid,
    user::User,
};
use playhouse_schema::{
    address::{Entity, Layout},
    models,
    port::StoredRecord,
    record::{
        ERASURE, Kind,
        codec::{ErasureNote, Record},
        restore::{self, RestoreRecord, Restored},
    },
};

/// One record, and what it is called.
struct Sample<R> {
    label: &'static str,
    record: R,
}

/// A line of a golden file.
struct Golden {
    kind: Kind,
    payload: Vec<u8>,
}

fn path(owner: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/replay")
        .join(format!("{owner}.golden"))
}

fn read(owner: &str) -> BTreeMap<String, Golden> {
    let text = fs::read_to_string(path(owner)).unwrap_or_default();
    let mut golden = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(kind), Some(label), Some(bytes)) = (words.next(), words.next(), words.next())
        else {
            panic!("{owner}.golden: {line}");
        };
        let line = Golden {
            kind: kind.parse().expect("a kind is a number"),
            payload: from_hexadecimal(bytes),
        };
        let twice = golden.insert(label.to_owned(), line);
        assert!(twice.is_none(), "{owner}.golden holds {label} twice");
    }
    golden
}

fn from_hexadecimal(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal is ASCII");
            u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
        })
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Adds lines for samples that have none. Never touches a line that is there.
fn complete(owner: &str, golden: &BTreeMap<String, Golden>, samples: &[(Kind, &str, Vec<u8>)]) {
    let mut text = fs::read_to_string(path(owner)).unwrap_or_default();
    let mut added = Vec::new();
    for (kind, label, payload) in samples {
        if !golden.contains_key(*label) {
            let _ = writeln!(text, "{kind} {label} {}", hexadecimal(payload));
            added.push(*label);
        }
    }
    if !added.is_empty() {
        fs::write(path(owner), text).expect("the golden file can be written");
        panic!("{owner}.golden lacked {added:?}: written now, look at them and commit them");
    }
}

/// The variant's name without the number of the sample.
fn variant(label: &str) -> &str {
    label.split('/').next().unwrap_or(label)
}

/// Which form of the variant a sample has: 1 but for labels that end in a number.
fn edition(label: &str) -> u32 {
    let suffix = label.split('/').nth(1);
    suffix.and_then(|suffix| suffix.parse().ok()).unwrap_or(1)
}

fn stored(entity: &Entity, sequence: u64, golden: &Golden, key: Option<&str>) -> StoredRecord {
    StoredRecord {
        shard: Layout::default().shard_of(entity),
        position: sequence,
        entity: entity.clone(),
        sequence,
        kind: golden.kind,
        key: key.map(Into::into),
        epoch: 1,
        at_ms: 1_700_000_000_000,
        payload: golden.payload.clone().into(),
    }
}

/// Holds the samples of an owner against its golden file, and folds what the file holds.
fn check<D: Domain>(
    owner: &str,
    entity: &Entity,
    samples: &[Sample<D::Record>],
    variants: usize,
    name: fn(&D::Record) -> &'static str,
) where
    D::Record: Debug + PartialEq,
{
    let golden = read(owner);
    let encoded = samples.iter().map(|sample| {
        let payload = sample.record.encode().to_vec();
        (sample.record.kind(), sample.label, payload)
    });
    complete(owner, &golden, &encoded.collect::<Vec<_>>());
    assert_eq!(
        golden.len(),
        samples.len(),
        "{owner}.golden has lines without a sample"
    );
    let newest = |label: &str| {
        let same = samples
            .iter()
            .filter(|other| variant(other.label) == variant(label));
        same.map(|other| edition(other.label)).max()
    };
    let mut state = D::empty(entity);
    let mut kinds = BTreeSet::new();
    for (sample, sequence) in samples.iter().zip(1..) {
        let label = sample.label;
        assert_eq!(variant(label), name(&sample.record), "a sample's label");
        let golden = &golden[label];
        assert_eq!(
            golden.kind,
            sample.record.kind(),
            "{owner} {label}: the kind moved"
        );
        kinds.insert(golden.kind);
        let stored = stored(entity, sequence, golden, sample.record.key());
        let decoded = D::Record::decode(&stored)
            .expect("old bytes are read")
            .expect("a sample is no erasure");
        assert_eq!(
            decoded, sample.record,
            "{owner} {label}: old bytes mean something else"
        );
        if newest(label) == Some(edition(label)) {
            let now = sample.record.encode();
            assert_eq!(
                hexadecimal(&now),
                hexadecimal(&golden.payload),
                "{owner} {label}: what is written now differs from what was"
            );
        }
        state.apply(sequence, sequence, &decoded);
        for model in models::all() {
            if model.reads().contains(&entity.family()) {
                model.changes(&stored).expect("models understand it");
            }
        }
    }
    assert_eq!(
        kinds.len(),
        variants,
        "{owner}: each variant has a sample and a kind of its own"
    );
    if !state.snapshot_due(u64::MAX) {
        return;
    }
    // What a snapshot keeps of it is read back.
    let snapshot = playhouse_schema::port::Snapshot {
        sequence: samples.len() as u64,
        version: D::SNAPSHOT_VERSION,
        payload: state.to_snapshot(),
    };
    assert!(
        D::from_snapshot(entity, &snapshot).is_some(),
        "{owner}: its snapshot is not read back"
    );
}

#[test]
fn records_of_rooms() {
    use samples::room::{VARIANTS, all, name};
    let entity = Entity::room("!room:example.org");
    check::<Room>("room", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_users() {
    use samples::user::{VARIANTS, all, name};
    let entity = Entity::user("@alice:example.org");
    check::<User>("user", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_aliases() {
    use samples::alias::{VARIANTS, all, name};
    let entity = Entity::alias("#alias:example.org");
    check::<Alias>("alias", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_backups() {
    use samples::backup::{VARIANTS, all, name};
    let entity = Entity::backup("@alice:example.org");
    check::<Backup>("backup", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_media() {
    use samples::media::{VARIANTS, all, name};
    check::<Media>("media", &Entity::media("abc"), &all(), VARIANTS, name);
}

#[test]
fn records_of_delayed_events() {
    use samples::delay::{VARIANTS, all, name};
    let entity = Entity::house("delays-05");
    check::<Delays>("delay", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_the_push_gateway() {
    use samples::gateway::{VARIANTS, all, name};
    let entity = Entity::house("gateway-05");
    check::<Outbox>("gateway", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_threepids() {
    use samples::threepid::{VARIANTS, all, name};
    let entity = Entity::threepid("abc");
    check::<Threepid>("threepid", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_the_house() {
    use samples::house::{VARIANTS, all, name};
    let entity = Entity::house("registration");
    check::<Registration>("house", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_passes() {
    use samples::pass::{VARIANTS, all, name};
    let entity = Entity::house("passes:@alice:example.org");
    check::<Passes>("pass", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_oauth() {
    use samples::oauth::{VARIANTS, all, name};
    let entity = Entity::house("oauth");
    check::<Oauth>("oauth", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_externals() {
    use samples::external::{VARIANTS, all, name};
    let entity = Entity::house("external:google:digest");
    check::<External>("external", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_peer_keys() {
    use samples::peer_keys::{VARIANTS, all, name};
    let entity = Entity::peer_keys("example.org");
    check::<PeerKeys>("peer_keys", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_active_users() {
    use samples::active::{VARIANTS, all, name};
    let entity = Entity::house("active-users");
    check::<ActiveUsers>("active", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_administrators() {
    use samples::admin::{VARIANTS, all, name};
    let entity = Entity::house("admin_tokens");
    check::<AdminTokens>("admin", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_peer_users() {
    use samples::peer_user::{VARIANTS, all, name};
    let entity = Entity::peer_user("@b:elsewhere.example");
    check::<PeerUser>("peer_user", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_purges() {
    use samples::purge::{VARIANTS, all, name};
    let entity = Entity::house("purges");
    check::<Purges>("purge", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_joins() {
    use samples::join::{VARIANTS, all, name};
    let entity = Entity::house("joins");
    check::<Joins>("join", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_quarantine() {
    use samples::quarantine::{VARIANTS, all, name};
    let entity = Entity::house("quarantine");
    check::<QuarantineLedger>("quarantine", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_servers() {
    use samples::server::{VARIANTS, all, name};
    let entity = Entity::server("elsewhere.example");
    check::<Server>("server", &entity, &all(), VARIANTS, name);
}

#[test]
fn records_of_restores() {
    let record = RestoreRecord::Restored(Restored {
        until_ms: 1_700_000_000_000,
        at_ms: 1_700_000_000_001,
    });
    let golden = read("restore");
    let payload = record.encode().to_vec();
    complete("restore", &golden, &[(record.kind(), "Restored", payload)]);
    let stored = stored(&restore::entity(), 1, &golden["Restored"], None);
    let decoded = RestoreRecord::decode(&stored).expect("old bytes are read");
    assert_eq!(
        (stored.kind, decoded),
        (record.kind(), Some(record.clone()))
    );
    assert_eq!(stored.payload, record.encode());
}

#[test]
fn notes_of_erasures() {
    let note = ErasureNote {
        sequence: 7,
        digest: [9; 32],
        others: Vec::new(),
    };
    let of_several = ErasureNote {
        others: vec![8, 9],
        ..note
    };
    let golden = read("store");
    for (label, note) in [("ErasureNote", note), ("ErasureNote/2", of_several)] {
        let payload = rmp_serde::to_vec(&note).expect("a note is encoded");
        complete("store", &golden, &[(ERASURE, label, payload.clone())]);
        let line = &golden[label];
        assert_eq!((line.kind, &line.payload), (ERASURE, &payload));
        let decoded: ErasureNote = rmp_serde::from_slice(&line.payload).expect("a note is read");
        assert_eq!(decoded, note);
    }
}

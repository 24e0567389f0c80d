//! The stored forms: frozen samples, hostile values, mutations.

pub(crate) mod samples;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::position::Seq;
use crate::storage::ObjectName;
use proptest::prelude::*;
use samples::{base, segment, table_version};
use std::fmt::Debug;
use std::path::PathBuf;

fn frozen_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/format/v1")
        .join(name)
}

/// The sample of a format version stays readable for ever, and is still what we write. A new
/// member makes a new sample beside the old one: never change a frozen file.
fn frozen(name: &str) -> Vec<u8> {
    std::fs::read(frozen_path(name)).expect("a frozen sample is never removed")
}

fn is_frozen<T: Document + PartialEq + Debug>(file: &str, value: &T) {
    let stored = frozen(file);
    assert_eq!(&T::decode(file, &stored).expect(file), value);
    let written = value.encode().expect(file);
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&stored)
    );
}

#[test]
fn every_kind_of_object_is_frozen() {
    is_frozen("repo.json", &samples::repo());
    is_frozen("timeline.json", &samples::timeline());
    is_frozen("writer.json", &samples::writer());
    is_frozen("segment.json", &segment());
    is_frozen(
        "segment-last-event.json",
        &samples::segment_with_last_event(),
    );
    is_frozen("segment-tail.json", &samples::segment_with_tail());
    is_frozen("writer-durability.json", &samples::writer_with_policy());
    is_frozen("base.json", &base());
    let catalogue = Catalogue::decode("x", &frozen("catalog.json.zst")).expect("decode");
    assert_eq!(catalogue.seq(), Seq(9));
    let versions: Vec<_> = catalogue.versions().cloned().collect();
    assert_eq!(
        versions,
        samples::catalogue().versions().cloned().collect::<Vec<_>>()
    );
}

#[test]
fn senseless_values_are_refused() {
    type Change = fn(&mut SegmentManifest);
    let changes: [(&str, Change); 34] = [
        ("timeline", |m| m.timeline = 0),
        ("epoch", |m| m.epoch = 0),
        ("first", |m| m.seq_first = Seq(0)),
        ("range", |m| m.seq_last = Seq(3)),
        ("huge", |m| m.seq_last = Seq(i64::MAX)),
        ("transactions", |m| m.transactions += 1),
        ("transactions overflow", |m| m.transactions = u64::MAX),
        ("mark outside", |m| m.marks[0].seq = Seq(99)),
        ("marks order", |m| m.marks.swap(0, 1)),
        ("barrier outside", |m| m.barriers[0].seq = Seq(1)),
        ("table outside", |m| {
            m.tables = vec![table_version(1, 99, 1)]
        }),
        ("times", |m| m.commit_time.first_us = None),
        ("max", |m| m.commit_time.max_us = Some(0)),
        ("gtids", |m| m.gtids_through = samples::gtids("1-5")),
        ("leaves", |m| m.files[0].object = "../../etc/passwd".into()),
        ("no segment file", |m| {
            m.files[0].object = ObjectName::Repo.to_string()
        }),
        ("role", |m| m.files[0].role = FileRole::Statements),
        ("table role", |m| {
            m.files[0].table_id = m.files[3].table_id.clone()
        }),
        ("other version", |m| m.files[4].version = Some(7)),
        ("offset", |m| m.files[0].offset = 1),
        ("pack overflow", |m| m.files[3].offset = u64::MAX),
        ("past its pack", |m| m.files[3].length = 4000),
        ("xa", |m| m.open_xa[0].object = ObjectName::Repo.to_string()),
        ("decided before it is prepared", |m| {
            m.xa_decided.push(decided(9, 9, false))
        }),
        ("decided elsewhere", |m| {
            m.xa_decided.push(decided(3, 10, true))
        }),
        ("decided within", |m| m.xa_decided.push(decided(5, 6, true))),
        ("undone elsewhere", |m| m.undone.push(Seq(10))),
        ("undone rows elsewhere", |m| {
            m.undone_rows.push(undone(10, 0, 1))
        }),
        ("no undone rows", |m| m.undone_rows.push(undone(9, 1, 1))),
        ("undone rows twice", |m| {
            m.undone_rows.extend([undone(9, 0, 3), undone(9, 2, 4)]);
        }),
        ("unprotected later", |m| {
            m.unprotected.push(Unprotected {
                seq_first: Seq(5),
                seq_last: Seq(10),
                gtid_first: None,
                gtid_last: None,
                commits: 1,
                from_us: 1,
                to_us: 2,
            })
        }),
        ("last event behind the end", |m| {
            m.last_event = Some(LastEvent {
                offset: m.position_last.offset,
                sha256: Sha256::of(b""),
            })
        }),
        ("no pack", |m| drop(m.files.remove(2))),
        ("catalogue", |m| {
            m.catalog.as_mut().unwrap().object.push('x')
        }),
    ];
    for (what, change) in changes {
        let mut manifest = segment();
        change(&mut manifest);
        let error = manifest.encode().expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Internal, "{what}");
        assert_eq!(
            manifest.validate().expect_err(what).kind(),
            ErrorKind::Corrupt
        );
    }
    segment().validate().expect("the sample itself");
}

fn undone(seq: i64, first: i64, end: i64) -> UndoneRows {
    let seq = Seq(seq);
    UndoneRows { seq, first, end }
}

fn decided(prepared: i64, seq: i64, committed: bool) -> DecidedXa {
    DecidedXa {
        prepared: Seq(prepared),
        seq: Seq(seq),
        committed,
    }
}

#[test]
fn senseless_bases_are_refused() {
    type Change = fn(&mut BaseManifest);
    let changes: [(&str, Change); 8] = [
        ("incomplete", |m| m.complete = false),
        ("timeline", |m| m.timeline = 0),
        ("apply", |m| m.apply_from_seq = Seq(11)),
        ("exact", |m| m.tables[0].exact_from_seq = Seq(10)),
        ("before apply", |m| m.tables[0].exact_from_seq = Seq(2)),
        ("order", |m| m.tables.swap(0, 1)),
        ("file name", |m| m.files.object = m.views.object.clone()),
        ("catalogue", |m| {
            m.catalog.object = m.catalog.object.replace("/0001/", "/0002/")
        }),
    ];
    for (what, change) in changes {
        let mut manifest = base();
        change(&mut manifest);
        assert_eq!(
            manifest.validate().expect_err(what).kind(),
            ErrorKind::Corrupt,
            "{what}"
        );
    }
    base().validate().expect("the sample itself");
}

/// Found by fuzzing: numbers of foreign members are kept as they are.
#[test]
fn numbers_of_any_length_are_written_as_they_were_read() {
    let mut timeline = samples::timeline();
    timeline.source = serde_json::json!({ "x": 1.111_111_111_111_111_1e86 });
    let stored = timeline.encode().expect("encode");
    let read = Timeline::decode("x", &stored).expect("decode");
    assert_eq!(read, timeline);
    assert_eq!(read.encode().expect("encode"), stored);
}

/// The frame around a mutated body gets a right checksum, so that the parser sees it.
fn reframed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(20));
    let crc32 = Crc32::of(&bytes);
    bytes.extend_from_slice(format!(",\"crc32\":\"{crc32}\"}}").as_bytes());
    bytes
}

fn mutate(bytes: &mut Vec<u8>, edits: &[(prop::sample::Index, u8, u8)]) {
    for (at, what, byte) in edits {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match what % 4 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"0123456789\"{}[],:-e.ntf\\"[usize::from(*byte) % 24]),
            _ => bytes[at] ^= 1 << (byte % 8),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_bytes_make_a_reader_panic(
        which in 0..3_usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 1..6),
        is_reframed: bool,
    ) {
        let mut bytes = frozen(["segment.json", "base.json", "catalog.json.zst"][which]);
        mutate(&mut bytes, &edits);
        let refused = |result: Result<()>| {
            result.map_or_else(|e| matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible), |()| true)
        };
        if which == 2 {
            prop_assert!(refused(Catalogue::decode("x", &bytes).map(drop)));
        } else {
            if is_reframed {
                bytes = reframed(bytes);
            }
            prop_assert!(refused(SegmentManifest::decode("x", &bytes).map(drop)));
            prop_assert!(refused(BaseManifest::decode("x", &bytes).map(drop)));
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
        prop_assert!(SegmentManifest::decode("x", &bytes).is_err());
        prop_assert!(SegmentManifest::decode("x", &reframed(bytes.clone())).is_err());
        prop_assert!(Catalogue::decode("x", &bytes).is_err());
    }
}

#[test]
fn a_place_in_the_tail_must_make_sense() {
    let right = samples::segment_with_tail();
    let tail = right.tail.expect("a place");
    for wrong in [
        TailPlace {
            sha256: None,
            ..tail
        },
        TailPlace { through: 0, ..tail },
        TailPlace { epoch: 0, ..tail },
        TailPlace {
            epoch: right.epoch + 1,
            ..tail
        },
    ] {
        let manifest = SegmentManifest {
            tail: Some(wrong),
            ..right.clone()
        };
        assert!(manifest.encode().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_catalogue_that_inflates_without_end_is_refused() {
    let bomb = zstd::bulk::compress(&vec![b' '; DOCUMENT_BYTES_MAX + (1 << 20)], 3).expect("pack");
    assert!(bomb.len() < 100_000);
    let error = Catalogue::decode("x", &bomb).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// Writes the samples that are not there; run by hand when a format version begins or has got a new
/// member.
#[test]
#[ignore = "freezes a format version"]
fn freeze() {
    let write = |name: &str, bytes: &[u8]| {
        let path = frozen_path(name);
        if !path.exists() {
            std::fs::write(path, bytes).expect("write");
        }
    };
    write("repo.json", &samples::repo().encode().expect("encode"));
    write(
        "timeline.json",
        &samples::timeline().encode().expect("encode"),
    );
    write("writer.json", &samples::writer().encode().expect("encode"));
    write("segment.json", &segment().encode().expect("encode"));
    let tail = samples::segment_with_tail();
    write("segment-tail.json", &tail.encode().expect("encode"));
    let writer = samples::writer_with_policy();
    write("writer-durability.json", &writer.encode().expect("encode"));
    write("base.json", &base().encode().expect("encode"));
    write(
        "catalog.json.zst",
        &samples::catalogue().encode().expect("encode"),
    );
}

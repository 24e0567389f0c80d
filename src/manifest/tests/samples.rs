//! One sample of every stored object, each member filled.

use crate::manifest::*;
use crate::position::{BinlogPosition, Flavor, GtidSet, Seq};
use crate::schema::{
    Column, Generated, KeyPart, TableId, TableName, TableShape, TableVersion, wire,
};
use crate::storage::{BaseFile, BaseId, ObjectName, SegmentFile, SegmentFolder};
use std::sync::Arc;
use uuid::Uuid;

const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const WRITER: Uuid = Uuid::from_u128(0x0102_0304_0506_4708_890a_0b0c_0d0e_0f10);

pub(crate) fn gtids(range: &str) -> GtidSet {
    GtidSet::parse(Flavor::MySql, &format!("{SERVER}:{range}")).expect("gtids")
}

pub(crate) fn repo() -> RepoHeader {
    RepoHeader {
        repository_id: WRITER,
        created_us: 1_763_600_000_000_001,
        created_by: "0.1.0".into(),
    }
}

pub(crate) fn timeline() -> Timeline {
    Timeline {
        timeline: 2,
        flavor: Flavor::MySql,
        source: serde_json::json!({"server_uuid": SERVER, "version": "9.7.4"}),
        created_us: 1_763_600_000_000_002,
        parent: Some(Fork {
            timeline: 1,
            seq: Seq(77),
            sha256: Sha256::of(b"parent"),
        }),
    }
}

pub(crate) fn writer() -> WriterEpoch {
    WriterEpoch {
        timeline: 1,
        epoch: 3,
        writer_id: WRITER,
        host: "db-\"1\"".into(),
        pid: 4242,
        started_us: 1_763_600_000_000_003,
        version: "0.1.0".into(),
        head_hint: Seq(4),
        durability: None,
    }
}

pub(crate) fn column(name: &str, wire_type: u8) -> Column {
    Column {
        nullable: false,
        unsigned: true,
        ..Column::plain(name, wire_type, 0)
    }
}

pub(crate) fn shape(db: &str, table: &str, columns: &[&str]) -> Arc<TableShape> {
    Arc::new(TableShape {
        name: TableName::new(db, table),
        columns: columns.iter().map(|c| column(c, wire::LONGLONG)).collect(),
        key: vec![KeyPart {
            column: 0,
            prefix: 0,
        }],
        raw_table_map: vec![1, 2, 3],
        definition: None,
    })
}

/// The `n`th table first seen at `seq`, in its first version.
pub(crate) fn table_version(timeline: u32, seq: i64, n: u32) -> Arc<TableVersion> {
    let mut shape = TableShape::clone(&shape("d`b", "t \u{1f41f}", &["id"]));
    shape.definition = Some("CREATE TABLE `t` (\n  `id` bigint)".into());
    shape.columns.push(Column {
        metadata: 1,
        nullable: true,
        collation: Some(255),
        labels: vec![b"a,b".to_vec(), vec![0xe4]],
        geometry_type: Some(1),
        vector_dimension: Some(4),
        visible: false,
        generated: Some(Generated::Stored),
        declared: Some("enum('a,b','ä')".into()),
        ..column("e", wire::ENUM)
    });
    let id = TableId::allocate(timeline, Seq(seq), n);
    Arc::new(TableVersion::first(id, Seq(seq), Flavor::MySql, shape))
}

fn file(object: ObjectName, length: u64, rows: u64) -> FileEntry {
    FileEntry {
        role: FileRole::Transactions,
        table_id: None,
        version: None,
        part: 0,
        object: object.to_string(),
        offset: 0,
        length,
        rows,
        crc32: Crc32(0x0000_1234),
        sha256: Sha256::of(b"bytes"),
        order: FileOrder::Seq,
        key_min: None,
        key_max: None,
        seq_first: Seq(4),
        seq_last: Seq(9),
        absent: false,
    }
}

fn files() -> Vec<FileEntry> {
    let folder = SegmentFolder {
        timeline: 1,
        seq_first: Seq(4),
        uuid: WRITER,
    };
    let table = table_version(1, 4, 0);
    let changes = |entry: FileEntry| FileEntry {
        role: FileRole::Changes,
        table_id: Some(table.table_id.clone()),
        version: Some(1),
        order: FileOrder::KeyRuns,
        key_min: Some(vec![0x80, 0]),
        key_max: Some(vec![0x80, 0xff]),
        ..entry
    };
    let own = SegmentFile::Changes {
        table_id: table.table_id.clone(),
        version: 1,
        part: 0,
    };
    vec![
        file(folder.file(SegmentFile::Transactions), 1000, 4),
        FileEntry {
            role: FileRole::Statements,
            ..file(folder.file(SegmentFile::Statements(0)), 500, 1)
        },
        FileEntry {
            role: FileRole::Pack,
            order: FileOrder::None,
            ..file(folder.file(SegmentFile::Pack(0)), 3000, 0)
        },
        changes(FileEntry {
            part: 1,
            offset: 1000,
            ..file(folder.file(SegmentFile::Pack(0)), 2000, 17)
        }),
        changes(file(folder.file(own), 700, 3)),
        FileEntry {
            role: FileRole::Raw,
            order: FileOrder::None,
            ..file(folder.file(SegmentFile::Raw), 90, 1)
        },
    ]
}

fn reference(object: ObjectName) -> ObjectRef {
    ObjectRef {
        object: object.to_string(),
        length: 321,
        crc32: Crc32(7),
        sha256: Sha256::of(b"object"),
    }
}

/// Entries 4 to 9: an epoch mark, a gap, and four transactions.
pub(crate) fn segment() -> SegmentManifest {
    SegmentManifest {
        timeline: 1,
        seq_first: Seq(4),
        seq_last: Seq(9),
        prev_sha256: Some(Sha256::of(b"previous")),
        epoch: 3,
        writer_id: WRITER,
        created_us: 1_763_600_000_000_004,
        gtids_added: gtids("7-10"),
        gtids_through: gtids("1-5:7-10"),
        position_first: BinlogPosition::new("binlog.000001", 157),
        position_last: BinlogPosition::new("binlog.000002", 5_000_000_000),
        commit_time: CommitTimes {
            first_us: Some(1_763_600_000_000_000),
            last_us: Some(1_763_599_999_999_999),
            max_us: Some(1_763_600_000_000_000),
        },
        covered_through_us: Some(1_763_600_000_500_000),
        source: serde_json::json!({"version": "9.7.4", "lower_case_table_names": 0}),
        last_event: None,
        format_description: vec![0, 1, 0xfe],
        tables: vec![table_version(1, 6, 0)],
        retired: vec![TableId::allocate(1, Seq(2), 0)],
        files: files(),
        transactions: 4,
        rows: 20,
        marks: vec![
            Mark {
                seq: Seq(4),
                kind: MarkKind::Epoch { epoch: 3 },
            },
            Mark {
                seq: Seq(5),
                kind: MarkKind::Gap {
                    missing: Some(gtids("6")),
                    from: Some(BinlogPosition::new("binlog.000001", 157)),
                    to: None,
                },
            },
        ],
        barriers: vec![Barrier {
            seq: Seq(5),
            table: None,
            reason: "gap".into(),
            statement: Some("LOAD DATA".into()),
        }],
        ddl: Vec::new(),
        open_xa: vec![OpenXa {
            xid: b"X'61',X'',1".to_vec(),
            seq: Seq(3),
            object: ObjectName::Manifest {
                timeline: 1,
                seq_first: Seq(1),
            }
            .to_string(),
        }],
        xa_decided: Vec::new(),
        undone: Vec::new(),
        undone_rows: Vec::new(),
        unprotected: Vec::new(),
        tail: None,
        catalog: Some(reference(ObjectName::Catalog {
            timeline: 1,
            seq: Seq(9),
        })),
        computed: Vec::new(),
        requires: Vec::new(),
    }
}

pub(crate) fn base() -> BaseManifest {
    let id = BaseId {
        timeline: 1,
        seq: Seq(9),
        attempt: 2,
    };
    let table = |n: u32, exact| BaseTable {
        table_id: TableId::allocate(1, Seq(4), n),
        version: 1,
        name: TableName::new("db", format!("t{n}")),
        exact_from_seq: Seq(exact),
        rows: 12,
        fingerprint: u128::MAX - u128::from(n),
        auto_increment: Some(13),
    };
    let segment = segment();
    BaseManifest {
        timeline: 1,
        seq: Seq(9),
        attempt: 2,
        apply_from_seq: Seq(5),
        created_us: 1_763_600_000_000_005,
        origin: BaseOrigin::Snapshot,
        writer_id: WRITER,
        gtids: segment.gtids_through,
        position: segment.position_last,
        commit_time: segment.commit_time,
        source: segment.source,
        tables: vec![table(0, 4), table(1, 9)],
        sequences: vec![SequenceState {
            name: TableName::new("db", "s"),
            next_value: -5,
            cycle_count: 1,
        }],
        open_xa: segment.open_xa,
        files: reference(id.file(BaseFile::Files)),
        views: reference(id.file(BaseFile::Views)),
        schema: reference(id.file(BaseFile::Schema)),
        catalog: reference(ObjectName::Catalog {
            timeline: 1,
            seq: Seq(9),
        }),
        complete: true,
        requires: Vec::new(),
    }
}

pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::empty(1, Flavor::MySql);
    catalogue.observe(&shape("db", "a", &["id", "x"]), Seq(1));
    catalogue.observe(&shape("db", "b", &["id"]), Seq(1));
    catalogue.observe(&shape("db", "a", &["id", "y"]), Seq(5));
    catalogue.take_pending(Seq(9));
    catalogue
}

/// The same where the last transaction is known.
pub(crate) fn segment_with_last_event() -> SegmentManifest {
    SegmentManifest {
        last_event: Some(LastEvent {
            offset: 77,
            sha256: Sha256::of(b"event"),
        }),
        ..segment()
    }
}

/// The same where a writer used the tail.
pub(crate) fn segment_with_tail() -> SegmentManifest {
    SegmentManifest {
        tail: Some(crate::manifest::TailPlace {
            through: 42,
            sha256: Some(Sha256::of(b"object 42")),
            bytes: 5_000_000_000,
            epoch: 2,
        }),
        ..segment()
    }
}

/// A writer that says when a transaction is durable.
pub(crate) fn writer_with_policy() -> WriterEpoch {
    WriterEpoch {
        durability: Some("store".into()),
        ..writer()
    }
}

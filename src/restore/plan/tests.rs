//! Plans of made-up manifests: what is read, and what is refused.

use super::*;
use crate::change::StatementKind;
use crate::error::ErrorKind;
use crate::manifest::{
    Barrier, BaseOrigin, BaseTable, CommitTimes, Crc32, DecidedXa, FileEntry, FileOrder, FileRole,
    Mark, ObjectRef, OpenXa, Sha256,
};
use crate::position::{BinlogPosition, GtidSet};
use crate::segment::{RowOrder, StatementRow};
use uuid::Uuid;

fn id(n: u32) -> TableId {
    TableId::allocate(1, Seq(1), n)
}

fn version(n: u32, number: u32, since: i64) -> Arc<TableVersion> {
    Arc::new(TableVersion {
        table_id: id(n),
        version: number,
        since: Seq(since),
        name: TableName::new("db", format!("t{n}")),
        flavor: Flavor::MariaDb,
        columns: Vec::new(),
        key: Vec::new(),
        given_rows: false,
        field_id_max: 0,
        raw_table_map: Vec::new(),
        definition: None,
    })
}

fn object(name: &str) -> ObjectRef {
    ObjectRef {
        object: name.to_owned(),
        length: 1,
        crc32: Crc32(0),
        sha256: Sha256([0; 32]),
    }
}

fn gtids(text: &str) -> GtidSet {
    GtidSet::parse(Flavor::MariaDb, text).expect("gtids")
}

/// Tables 1 and 2, exact at entries 10 and 8, two rows each.
fn base() -> BaseManifest {
    let table = |n, exact: i64| BaseTable {
        table_id: id(n),
        version: 1,
        name: TableName::new("db", format!("t{n}")),
        exact_from_seq: Seq(exact),
        rows: 2,
        fingerprint: 0,
        auto_increment: None,
    };
    BaseManifest {
        timeline: 1,
        seq: Seq(10),
        attempt: 0,
        apply_from_seq: Seq(9),
        created_us: 0,
        origin: BaseOrigin::Snapshot,
        writer_id: Uuid::nil(),
        gtids: gtids("0-1-10"),
        position: BinlogPosition::new("b.000001", 4),
        commit_time: CommitTimes::default(),
        source: serde_json::Value::Null,
        tables: vec![table(1, 10), table(2, 8)],
        sequences: Vec::new(),
        open_xa: Vec::new(),
        files: object("files.parquet"),
        views: object("views.sql"),
        schema: object("schema.sql.zst"),
        catalog: object("catalog"),
        complete: true,
        requires: Vec::new(),
    }
}

fn base_files() -> Vec<BaseFile> {
    let file = |n: u32| BaseFile {
        name: TableName::new("db", format!("t{n}")),
        table_id: id(n),
        version: 1,
        object: format!("tables/{n}"),
        offset: 0,
        bytes: 100,
        rows: 2,
        key_min: None,
        key_max: None,
        crc32: 0,
        sha256: [0; 32],
        fingerprint: 0,
        order: RowOrder::Sorted,
    };
    vec![file(1), file(2)]
}

fn changes(table: u32, number: u32, (first, last): (i64, i64)) -> FileEntry {
    FileEntry {
        role: FileRole::Changes,
        table_id: Some(id(table)),
        version: Some(number),
        part: 0,
        object: format!("changes-{table}-{first}"),
        offset: 0,
        length: 10,
        rows: 5,
        crc32: Crc32(0),
        sha256: Sha256([0; 32]),
        order: FileOrder::Key,
        key_min: None,
        key_max: None,
        seq_first: Seq(first),
        seq_last: Seq(last),
        absent: false,
    }
}

fn segment(first: i64, last: i64, files: Vec<FileEntry>) -> SegmentManifest {
    SegmentManifest {
        timeline: 1,
        seq_first: Seq(first),
        seq_last: Seq(last),
        prev_sha256: None,
        epoch: 1,
        writer_id: Uuid::nil(),
        created_us: 0,
        gtids_added: gtids(""),
        gtids_through: gtids(""),
        position_first: BinlogPosition::new("b.000001", 4),
        position_last: BinlogPosition::new("b.000001", 4),
        commit_time: CommitTimes::default(),
        covered_through_us: None,
        source: serde_json::Value::Null,
        last_event: None,
        format_description: Vec::new(),
        tables: Vec::new(),
        retired: Vec::new(),
        files,
        transactions: 0,
        rows: 0,
        marks: Vec::new(),
        barriers: Vec::new(),
        ddl: Vec::new(),
        open_xa: Vec::new(),
        xa_decided: Vec::new(),
        undone: Vec::new(),
        undone_rows: Vec::new(),
        unprotected: Vec::new(),
        tail: None,
        catalog: None,
        computed: Vec::new(),
        requires: Vec::new(),
    }
}

struct Case {
    base: BaseManifest,
    segments: Vec<SegmentManifest>,
    versions: Vec<Arc<TableVersion>>,
    ddl: Vec<Ddl>,
    filter: TableFilter,
    cut: i64,
}

impl Case {
    /// Segments 1-9, 10-19 and 20-29, table 1 changed in the last two, table 2 in all; cut 25.
    fn new() -> Case {
        let two = |first, last| changes(2, 1, (first, last));
        Case {
            base: base(),
            segments: vec![
                segment(1, 9, vec![two(2, 8)]),
                segment(10, 19, vec![changes(1, 1, (10, 12)), two(15, 15)]),
                segment(20, 29, vec![changes(1, 1, (20, 28)), two(26, 27)]),
            ],
            versions: vec![version(1, 1, 1), version(2, 1, 1)],
            ddl: Vec::new(),
            filter: TableFilter::default(),
            cut: 25,
        }
    }

    fn barrier(mut self, seq: i64, table: Option<u32>) -> Case {
        let segment = self.segments.iter_mut().find(|s| s.contains(Seq(seq)));
        segment.expect("segment").barriers.push(Barrier {
            seq: Seq(seq),
            table: table.map(id),
            reason: "partial row image".to_owned(),
            statement: Some("ALTER TABLE t".to_owned()),
        });
        self
    }

    /// A statement at an entry; the default database is the one of all tables.
    fn statement(mut self, seq: i64, text: &str) -> Case {
        let row = StatementRow {
            seq: Seq(seq),
            ordinal: 0,
            kind: StatementKind::Query,
            default_db: b"db".to_vec().into(),
            text: text.as_bytes().to_vec().into(),
            charset: None,
            status_vars: Vec::new().into(),
            thread_id: 1,
            error_code: 0,
            header_us: 0,
        };
        let ddl = Ddl::of(row, Flavor::MariaDb, false, |_| false);
        self.ddl.push(ddl.expect("ddl"));
        self
    }

    fn only(mut self, table: &str) -> Case {
        self.filter = TableFilter::new(&[], &[table.to_owned()]).expect("filter");
        self
    }

    fn plan(&self) -> Result<RestorePlan> {
        let versions = self
            .versions
            .iter()
            .map(|v| ((v.table_id.clone(), v.version), Arc::clone(v)));
        let segments: Vec<_> = self.segments.iter().cloned().map(Arc::new).collect();
        decide(PlanInput {
            base: &self.base,
            base_files: base_files(),
            versions: &versions.collect(),
            segments: &segments,
            counting: Arc::new(Counting::new(&self.base, &segments, &[])),
            cut: Cut {
                seq: Seq(self.cut),
                gtids: gtids("0-1-7"),
                last: None,
                first_left_out: None,
            },
            objects: Vec::new(),
            ddl: self.ddl.clone(),
            filter: &self.filter,
        })
    }

    fn refused(&self) -> Error {
        let error = self.plan().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
        assert!(error.hint_text().is_some(), "{error}");
        error
    }
}

#[test]
fn each_table_is_read_from_its_own_entry_to_the_cut() {
    let plan = Case::new().plan().expect("plan");
    let files = |n: usize| {
        plan.tables[n]
            .change_files
            .iter()
            .map(|f| f.object.as_str())
    };
    assert_eq!(
        files(0).collect::<Vec<_>>(),
        ["changes-1-10", "changes-1-20"]
    );
    // The base has what is in 2-8; what is in 26-27 is after the cut.
    assert_eq!(files(1).collect::<Vec<_>>(), ["changes-2-15"]);
    assert_eq!((plan.rows, plan.files, plan.bytes), (4 + 15, 5, 230));
    assert_eq!(plan.cut.gtids.to_string(), "0-1-10", "the base knows more");
    let text = plan.render();
    assert!(
        text.contains("cut       seq 25") && text.contains("db.t2: 2 rows"),
        "{text}"
    );
    let json = serde_json::to_value(&plan).expect("json");
    assert_eq!(json["tables"][0]["change_rows"], 10);
    let one = Case::new().only("db.t2").plan().expect("plan");
    assert_eq!(one.tables.len(), 1);
    assert!(Case::new().only("db.nothing").plan().is_err());
}

#[test]
fn barriers_refuse_only_what_they_stand_before() {
    for (seq, table) in [(9, None), (11, Some(1)), (25, None), (9, Some(2))] {
        let error = Case::new().barrier(seq, table).refused();
        assert_eq!(error.get("seq"), Some(seq.to_string().as_str()));
        assert_eq!(error.get("statement"), Some("ALTER TABLE t"));
        let hint = error.hint_text().expect("hint");
        assert!(hint.contains(&format!("--to-seq {seq} --before")), "{hint}");
    }
    for (seq, table) in [
        (8, None),
        (9, Some(1)),
        (26, None),
        (26, Some(1)),
        (15, Some(3)),
    ] {
        assert!(
            Case::new().barrier(seq, table).plan().is_ok(),
            "{seq} {table:?}"
        );
    }
    assert!(
        Case::new()
            .barrier(15, Some(2))
            .only("db.t1")
            .plan()
            .is_ok()
    );
    assert!(Case::new().barrier(9, None).only("db.t1").plan().is_ok());
}

#[test]
fn gaps_refuse() {
    let gap = |seq| Mark {
        seq: Seq(seq),
        kind: MarkKind::Gap {
            missing: None,
            from: None,
            to: None,
        },
    };
    let mut case = Case::new();
    case.segments[1].marks.push(gap(14));
    assert_eq!(case.refused().get("seq"), Some("14"));
    case.segments[1].marks[0] = gap(8);
    assert!(case.plan().is_ok());
}

#[test]
fn files_of_a_transaction_prepared_before_the_base_are_read() {
    let files = |case: &Case| {
        let plan = case.plan().expect("plan");
        let of = |t: &PlannedTable| t.change_files.iter().map(|f| f.object.clone()).collect();
        let files: Vec<Vec<String>> = plan.tables.iter().map(of).collect();
        (files, plan.open_xa)
    };
    let decided = |prepared, seq, committed| DecidedXa {
        prepared: Seq(prepared),
        seq: Seq(seq),
        committed,
    };
    let late = ["changes-1-10", "changes-1-20"];
    let mut case = Case::new();
    case.segments[1].xa_decided.push(decided(6, 15, true));
    assert_eq!(
        files(&case).0[1],
        ["changes-2-2", "changes-2-15"],
        "table 2 was read at entry 8"
    );
    assert_eq!(
        files(&case).0[0],
        late,
        "it has no rows in the first segment"
    );
    case.segments[1].xa_decided[0] = decided(6, 15, false);
    assert_eq!(files(&case).0[1], ["changes-2-15"], "rolled back");
    case.segments[1].xa_decided.clear();
    case.segments[2].xa_decided.push(decided(6, 26, true));
    assert_eq!(
        files(&case).0[1],
        ["changes-2-15"],
        "committed after the cut"
    );
    assert_eq!(files(&case).1, [Seq(6)], "and undecided at the cut");
    case.segments[2].open_xa.push(OpenXa {
        xid: b"x".to_vec(),
        seq: Seq(21),
        object: "o".to_owned(),
    });
    assert_eq!(files(&case).1, [Seq(6), Seq(21)]);
    assert!(
        case.plan()
            .expect("plan")
            .render()
            .contains("prepared at seq 21")
    );
}

/// The version of table 1 with another key.
fn wider(since: i64) -> Arc<TableVersion> {
    let mut wider = TableVersion::clone(&version(1, 2, since));
    wider.key.push(crate::schema::KeyPart {
        column: 0,
        prefix: 0,
    });
    Arc::new(wider)
}

#[test]
fn changes_that_no_statement_explains_refuse() {
    let mut case = Case::new();
    case.versions.push(wider(22));
    case.segments[2].files.push(changes(1, 2, (22, 23)));
    assert_eq!(case.refused().get("table"), Some("db.t1"));
    case.cut = 21;
    assert_eq!(case.plan().expect("before the change").tables[0].version, 1);
    let mut case = Case::new();
    case.versions.push(version(3, 1, 20));
    case.segments[2].files.push(changes(3, 1, (21, 22)));
    assert_eq!(case.refused().get("table"), Some("db.t3"));
    // A table that is created is not there yet.
    Case::new()
        .statement(14, "CREATE TABLE t1 (a INT)")
        .refused();
}

/// Ends of the epochs of a table, with the statement before which each is written.
fn epochs(plan: &RestorePlan, name: &str) -> Vec<(i64, i64, Option<i64>)> {
    let mut tables = plan.tables.iter();
    let table = tables.find(|t| t.name.table == name).expect("table");
    let epochs = table.epochs.iter();
    epochs
        .map(|e| (e.after.0, e.through.0, e.load_at.map(|seq| seq.0)))
        .collect()
}

#[test]
fn a_statement_that_reads_rows_ends_an_epoch() {
    let mut case = Case::new().statement(14, "ALTER TABLE t1 ADD x INT");
    case.versions.push(wider(20));
    case.segments[2].files[0] = changes(1, 2, (20, 28));
    let plan = case.plan().expect("plan");
    assert_eq!(epochs(&plan, "t1"), [(10, 13, Some(14)), (13, 25, None)]);
    assert_eq!(epochs(&plan, "t2"), [(8, 25, None)]);
    assert_eq!(plan.statements.len(), 1);
    assert_eq!(plan.statements[0].loads.len(), 1);
    assert_eq!(plan.statements[0].rereads.len(), 1);
    // Only what is asked for.
    let plan = Case::new().statement(14, "ALTER TABLE t1 ADD x INT");
    let plan = plan.only("db.t2").plan().expect("plan");
    assert!(plan.statements.is_empty());
}

#[test]
fn a_file_over_an_altered_and_restored_table_may_have_no_rows_between() {
    let mut case = Case::new()
        .statement(14, "ALTER TABLE t1 ADD x INT")
        .statement(16, "ALTER TABLE t1 DROP x");
    for segment in &mut case.segments {
        segment.files.retain(|f| f.table_id != Some(id(1)));
    }
    case.segments[0].files.push(changes(1, 1, (12, 19)));
    let plan = case.plan().expect("plan");
    let table = plan.tables.iter().find(|t| t.name.table == "t1");
    let epochs = &table.expect("table").epochs;
    let empty: Vec<bool> = epochs.iter().map(|e| e.may_be_empty).collect();
    assert_eq!(empty, [false, true, false]);
}

#[test]
fn names_are_followed() {
    let case = Case::new()
        .statement(13, "RENAME TABLE t1 TO old, t2 TO t1")
        .statement(14, "DROP TABLE IF EXISTS old, missing")
        .statement(16, "CREATE TABLE t2 LIKE t1")
        .statement(17, "ALTER TABLE t2 ADD y INT");
    let plan = case.plan().expect("plan");
    let wanted = plan.tables.iter().filter(|t| t.is_wanted);
    let wanted: Vec<_> = wanted
        .map(|t| (t.name.table.as_str(), &t.table_id))
        .collect();
    assert_eq!(wanted.len(), 2);
    assert_eq!(wanted[0], ("t1", &id(2)));
    // It was empty when it was altered.
    assert_eq!(epochs(&plan, "t2"), [(15, 25, None)]);
    let one = case.only("db.t2").plan().expect("plan");
    let exists = one.tables.iter().map(|t| t.base_name.clone());
    let base: Vec<_> = exists.flatten().collect();
    assert_eq!(base, [TableName::new("db", "t2")], "what it was made like");
}

#[test]
fn an_emptied_table_needs_no_rows_of_before() {
    let case = Case::new().statement(14, "TRUNCATE t1");
    let mut plan = case.only("db.t1").plan().expect("plan").tables;
    plan.retain(|t| t.is_wanted);
    assert_eq!(
        (plan.len(), plan[0].base_rows, plan[0].change_rows),
        (1, 0, 0)
    );
}

#[test]
fn a_file_list_that_is_not_the_bases_is_corrupt() {
    let mut case = Case::new();
    case.base.tables[0].rows = 3;
    assert_eq!(case.plan().expect_err("differs").kind(), ErrorKind::Corrupt);
}

//! Allocation, DDL effects, and that applying the log gives the writer's catalogue.

use super::*;
use crate::manifest::tests::samples::{segment, shape};
use crate::schema::Generated;
use crate::schema::ddl::ColumnSaid;
use proptest::prelude::*;

fn new() -> Catalogue {
    Catalogue::empty(1, Flavor::MySql)
}

fn name(table: &str) -> TableName {
    TableName::new("db", table)
}

/// The manifest of a segment that ends at `last` with what the writer allocated in it.
fn manifest(first: i64, last: i64, pending: Pending) -> SegmentManifest {
    SegmentManifest {
        seq_first: Seq(first),
        seq_last: Seq(last),
        tables: pending.tables,
        retired: pending.retired,
        computed: pending.computed,
        ..segment()
    }
}

fn contents(catalogue: &Catalogue) -> (Seq, Vec<Arc<TableVersion>>, Vec<(TableName, TableId)>) {
    let mut names: Vec<_> = catalogue
        .by_name
        .iter()
        .map(|(name, id)| (name.clone(), id.clone()))
        .collect();
    names.sort();
    (
        catalogue.seq,
        catalogue.versions().cloned().collect(),
        names,
    )
}

#[test]
fn ids_and_versions_are_allocated_once() {
    let mut catalogue = new();
    let a = shape("db", "a", &["id"]);
    let first = catalogue.observe(&a, Seq(3));
    assert_eq!(first.table_id.as_str(), "0001-00000000000000000003-0");
    assert!(Arc::ptr_eq(&first, &catalogue.observe(&a, Seq(4))));
    let equal = shape("db", "a", &["id"]);
    assert!(Arc::ptr_eq(&first, &catalogue.observe(&equal, Seq(5))));
    let other = catalogue.observe(&shape("db", "b", &["id"]), Seq(3));
    assert_eq!(other.table_id.as_str(), "0001-00000000000000000003-1");

    let altered = catalogue.observe(&shape("db", "a", &["id", "x"]), Seq(6));
    assert_eq!((altered.version, &altered.table_id), (2, &first.table_id));
    // The very same allocation that was matched to version 1 is version 3 now.
    let back = catalogue.observe(&a, Seq(7));
    assert_eq!(back.version, 3);
    assert_eq!(back.columns[0].field_id, first.columns[0].field_id);

    let pending = catalogue.take_pending(Seq(9));
    let versions: Vec<u32> = pending.tables.iter().map(|t| t.version).collect();
    assert_eq!(versions, [1, 1, 2, 3]);
    assert_eq!(catalogue.take_pending(Seq(9)), Pending::default());
    assert_eq!(catalogue.version(&first.table_id, 2), Some(&altered));
}

#[test]
fn drop_and_create_again_is_another_table() {
    let mut catalogue = new();
    let a = shape("db", "a", &["id"]);
    let first = catalogue.observe(&a, Seq(1));
    assert!(catalogue.drop_table(&name("a")));
    assert!(!catalogue.drop_table(&name("a")));
    let again = catalogue.observe(&a, Seq(1));
    assert_ne!(first.table_id, again.table_id);
    assert_eq!(again.columns[0].field_id, 1);
    let truncated = catalogue.truncate_table(&name("a"), Seq(2)).expect("known");
    assert_ne!(truncated.table_id, again.table_id);
    assert_eq!(truncated.version, 1);
    assert!(truncated.has_shape(&a));
    assert_eq!(catalogue.truncate_table(&name("z"), Seq(2)), None);
    let pending = catalogue.take_pending(Seq(2));
    assert_eq!(
        pending.retired,
        [first.table_id.clone(), again.table_id.clone()]
    );
}

#[test]
fn a_swap_by_rename_keeps_both_ids() {
    let mut catalogue = new();
    let old = catalogue.observe(&shape("db", "t", &["id"]), Seq(1));
    let ghost = catalogue.observe(&shape("db", "_t_gho", &["id", "x"]), Seq(1));
    for (from, to) in [("t", "_t_del"), ("_t_gho", "t")] {
        catalogue
            .rename_table(&name(from), &name(to), Seq(2))
            .expect("known");
    }
    let id = |table| &catalogue.by_name(&name(table)).expect("known").table_id;
    assert_eq!(id("t"), &ghost.table_id);
    assert_eq!(id("_t_del"), &old.table_id);
    assert_eq!(catalogue.by_name(&name("_t_gho")), None);
    let renamed = catalogue.by_name(&name("t")).expect("known");
    assert_eq!((renamed.version, renamed.columns[1].field_id), (2, 2));
    assert!(
        renamed.raw_table_map.is_empty(),
        "the logged map has the old name"
    );
    let seen = Arc::clone(renamed);
    let after = catalogue.observe(&shape("db", "t", &["id", "x"]), Seq(3));
    assert!(Arc::ptr_eq(&seen, &after), "rows after the rename find it");
    assert_eq!(catalogue.rename_table(&name("z"), &name("y"), Seq(3)), None);
}

#[test]
fn a_database_goes_with_its_tables() {
    let mut catalogue = new();
    for table in ["a", "b"] {
        catalogue.observe(&shape("db", table, &["id"]), Seq(1));
    }
    catalogue.observe(&shape("other", "a", &["id"]), Seq(1));
    assert_eq!(catalogue.drop_database("db"), 2);
    assert_eq!(catalogue.len(), 1);
    assert_eq!(catalogue.take_pending(Seq(1)).retired.len(), 2);
}

#[test]
fn manifests_that_do_not_fit_are_refused() {
    let mut writer = new();
    writer.observe(&shape("db", "a", &["id"]), Seq(1));
    writer.observe(&shape("db", "a", &["x"]), Seq(2));
    let pending = writer.take_pending(Seq(2));
    let good = manifest(1, 2, pending.clone());
    new().apply(&good).expect("follows");
    let mut late = new();
    late.seq = Seq(5);
    late.apply(&good).expect_err("entries are missing");
    let mut swapped = good.clone();
    swapped.tables.swap(0, 1);
    new().apply(&swapped).expect_err("version 2 before 1");
    let mut twice = good.clone();
    twice.tables.truncate(1);
    let mut clone = TableVersion::clone(&twice.tables[0]);
    clone.table_id = TableId::allocate(1, Seq(1), 5);
    twice.tables.push(Arc::new(clone));
    new().apply(&twice).expect_err("two tables of one name");
    let mut ghost = good.clone();
    ghost.retired = vec![TableId::allocate(1, Seq(1), 9)];
    new().apply(&ghost).expect_err("an unknown table");
    let mut pending = new();
    pending.observe(&shape("db", "b", &["id"]), Seq(1));
    pending.apply(&good).expect_err("allocations are pending");
}

#[derive(Clone, Debug)]
enum Step {
    Observe(u8, u8),
    Drop(u8),
    Truncate(u8),
    Rename(u8, u8),
    DropDatabase,
    Seal,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4_u8, 0..3_u8).prop_map(|(t, c)| Step::Observe(t, c)),
        1 => (0..4_u8).prop_map(Step::Drop),
        1 => (0..4_u8).prop_map(Step::Truncate),
        2 => (0..4_u8, 0..4_u8).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => Just(Step::DropDatabase),
        2 => Just(Step::Seal),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn the_log_gives_the_writers_catalogue(steps in steps()) {
        let table = |n: u8| name(&format!("t{n}"));
        let mut writer = new();
        let mut reader = new();
        let mut first = 1;
        for (seq, step) in (1..).zip(steps.into_iter().chain([Step::Seal])) {
            match step {
                Step::Observe(t, columns) => {
                    let columns = &["a", "b", "c"][..=usize::from(columns)];
                    let shape = shape("db", &format!("t{t}"), columns);
                    let version = writer.observe(&shape, Seq(seq));
                    prop_assert!(version.has_shape(&shape));
                    prop_assert_eq!(writer.by_name(&shape.name), Some(&version));
                }
                Step::Drop(t) => drop(writer.drop_table(&table(t))),
                Step::Truncate(t) => drop(writer.truncate_table(&table(t), Seq(seq))),
                Step::Rename(a, b) => drop(writer.rename_table(&table(a), &table(b), Seq(seq))),
                Step::DropDatabase => drop(writer.drop_database("db")),
                Step::Seal => {
                    let pending = writer.take_pending(Seq(seq));
                    reader.apply(&manifest(first, seq, pending)).expect("follows");
                    first = seq + 1;
                    prop_assert_eq!(contents(&reader), contents(&writer));
                    let stored = reader.encode().expect("encode");
                    let again = Catalogue::decode("x", &stored).expect("decode");
                    prop_assert_eq!(contents(&again), contents(&writer));
                }
            }
        }
    }
}

#[test]
fn what_statements_say_of_columns_lasts_until_a_version_knows() {
    let mut writer = Catalogue::empty(1, Flavor::MariaDb);
    writer.leave_out_computed(true);
    let said = |name: &str, generated| (name.to_owned(), ColumnSaid::Defined(generated));
    let plain = |name: &str| said(name, None);
    let stored = |name: &str| said(name, Some(Generated::Stored));
    let of = |version: &TableVersion| -> Vec<Option<Generated>> {
        version.columns.iter().map(|c| c.generated).collect()
    };
    writer.tell_computed(&name("a"), &[plain("id"), stored("x")]);
    writer.tell_alike(&name("b"), &name("a"));
    let pending = writer.take_pending(Seq(1));
    assert_eq!(pending.computed.len(), 2);
    // Another process goes on from the manifest, or from the stored catalogue.
    let mut applied = Catalogue::empty(1, Flavor::MariaDb);
    applied.apply(&manifest(1, 1, pending)).expect("applied");
    let bytes = applied.encode().expect("encoded");
    let mut next = Catalogue::decode("catalog", &bytes).expect("decoded");
    next.leave_out_computed(true);
    assert!(next.knows(&name("b")) && !next.knows(&name("c")));
    let mut without_key = TableShape::clone(&shape("db", "a", &["id", "X"]));
    without_key.key.clear();
    let a = next.observe(&Arc::new(without_key), Seq(2));
    assert_eq!(of(&a), [None, Some(Generated::Stored)]);
    assert!(a.given_rows);
    assert_eq!(next.requires(), [super::super::ABSENT_CELLS]);
    next.rename_table(&name("b"), &name("c"), Seq(3));
    let c = next.observe(&shape("db", "c", &["id", "x"]), Seq(3));
    assert_eq!(of(&c), [None, Some(Generated::Stored)]);
    assert!(!c.given_rows);
    assert_eq!(next.take_pending(Seq(3)).computed, []);
    // A column that is plain from now on is another version of the same shape.
    next.tell_computed(&name("c"), &[plain("x"), plain("id")]);
    let c = shape("db", "c", &["id", "x"]);
    let plain = next.observe(&c, Seq(4));
    assert_eq!((plain.version, of(&plain)), (2, vec![None, None]));
    next.tell_computed(&name("c"), &[stored("x")]);
    assert_eq!(next.observe(&c, Seq(5)).version, 3);
    let was = |name: &str, former: &str| (name.to_owned(), ColumnSaid::Was(former.to_owned()));
    next.tell_computed(&name("c"), &[was("y", "x"), was("x", "id")]);
    let renamed = next.observe(&shape("db", "c", &["x", "y"]), Seq(6));
    assert_eq!(of(&renamed), [None, Some(Generated::Stored)]);
    next.tell_computed(&name("d"), &[stored("x")]);
    next.drop_database("db");
    assert_eq!(next.take_pending(Seq(4)).computed, []);
    // Row images of MySQL have every column.
    let mut mysql = new();
    mysql.tell_computed(&name("a"), &[stored("x")]);
    assert!(!mysql.knows(&name("a")));
}

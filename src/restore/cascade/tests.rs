//! Derived cascades against a naive engine that does them row by row.

mod engine;

use super::*;
use crate::change::{ImageWriter, Op};
use crate::error::ErrorKind;
use crate::position::Flavor;
use crate::restore::rows::Fold;
use crate::restore::rows::tests::{base_entry, change, change_entry, column, write_file};
use crate::restore::table::{Epoch, testing::table_of_base};
use crate::schema::KeyPart;
use crate::segment::{ChangeRow, FileKind};
use definition::Known;
use engine::{Change, Fk, KEYS, Row, State, TABLES, Wish, history};
use proptest::prelude::*;

fn image(row: &Row) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = ImageWriter::begin(Flavor::MariaDb, row.len(), &mut out);
    for cell in row {
        match cell {
            Some(v) => writer.cell().extend_from_slice(&v.to_le_bytes()),
            None => writer.null(),
        }
    }
    writer.finish().expect("image");
    out
}

fn version(table: usize) -> Arc<TableVersion> {
    let (name, columns, key) = TABLES[table];
    let columns = columns.iter().enumerate();
    Arc::new(TableVersion {
        table_id: TableId::allocate(1, Seq(1), table as u32),
        version: 1,
        since: Seq(1),
        name: TableName::new("d", name),
        flavor: Flavor::MariaDb,
        columns: columns.map(|(i, c)| column(c, i as i32 + 1)).collect(),
        key: key
            .iter()
            .map(|c| KeyPart {
                column: *c,
                prefix: 0,
            })
            .collect(),
        given_rows: false,
        field_id_max: 9,
        raw_table_map: Vec::new(),
        definition: None,
    })
}

fn foreign_key(key: &Fk) -> ForeignKey {
    let names = |table: usize, columns: &[usize]| {
        columns
            .iter()
            .map(|c| TABLES[table].1[*c].to_owned())
            .collect()
    };
    ForeignKey {
        parent: TableName::new("d", TABLES[key.0].0),
        parent_columns: names(key.0, key.1),
        child: TableName::new("d", TABLES[key.2].0),
        child_columns: names(key.2, key.3),
        on_delete: key.4,
        on_update: key.5,
        after: Seq(i64::MIN),
        through: Seq(i64::MAX),
        known: Known::Base,
    }
}

/// The files of one table: its base, and its changes in segments.
struct Files {
    table: PlannedTable,
    base: Spooled,
    changes: Vec<bytes::Bytes>,
}

impl Files {
    fn input(&self, through: usize) -> TableInput {
        let changes = self.changes.iter().cloned().map(Spooled::new);
        let changes: Result<Vec<Spooled>> = changes.collect();
        let files = (vec![self.base.clone()], changes.expect("spool"));
        let version = self.table.versions.values().next().expect("version");
        let epoch = Epoch {
            after: self.table.exact_from_seq,
            through: Seq(through as i64),
            is_first: true,
            from_base: true,
            name: self.table.name.clone(),
            version: Some(Arc::clone(version)),
            may_be_empty: false,
            load_at: None,
        };
        TableInput::new((&self.table, &epoch), Arc::clone(version), files).expect("input")
    }
}

fn files(
    table: usize,
    (log, states): &(Vec<(Vec<Change>, u16)>, Vec<State>),
    (base, segment): (usize, usize),
) -> Files {
    let version = version(table);
    let plan = Arc::new(TablePlan::compile(Arc::clone(&version)).expect("plan"));
    let rows = states[base][table].iter();
    let rows: Vec<_> = rows
        .map(|r| (image(r), change(base, 0, Op::Insert)))
        .collect();
    let count = rows.len();
    let bytes = write_file(&plan, FileKind::Base, rows, 1);
    let base_files = vec![base_entry(&bytes, count)];
    let mut planned = table_of_base(&version, Seq(base as i64), (base_files, count));
    planned.base_name = None;
    let mut changes = Vec::new();
    for (number, part) in log.chunks(segment).enumerate() {
        let mut rows = Vec::new();
        for (index, (list, flags)) in part.iter().enumerate() {
            for (_, op, row) in list.iter().filter(|c| c.0 == table) {
                let seq = number * segment + index + 1;
                let change = ChangeRow {
                    flags: *flags,
                    ..change(seq, 0, *op)
                };
                rows.push((image(row), change));
            }
        }
        if !rows.is_empty() {
            let (count, groups) = (rows.len(), 1 + number % 3);
            let bytes = write_file(&plan, FileKind::Change, rows, groups);
            planned
                .change_files
                .push(change_entry(&bytes, count, groups, (1, i64::MAX)));
            changes.push(bytes);
        }
    }
    Files {
        table: planned,
        base: Spooled::new(bytes).expect("spool"),
        changes,
    }
}

/// Everything that is derived at `through`.
fn derive(all: &[Files], through: usize, bytes: u64) -> Result<Graph> {
    let budget = Budget::new(bytes);
    let plan = |files: &Files| {
        let version = files.table.versions.values().next().expect("version");
        Arc::new(TablePlan::compile(Arc::clone(version)).expect("plan"))
    };
    let nodes = all.iter().map(|files| {
        let (name, exact) = (files.table.name.clone(), files.table.exact_from_seq);
        let place = (name, exact, Seq(through as i64), Seq(i64::MAX));
        Node::new(
            place,
            plan(files),
            Facts::default(),
            (&Arc::default(), &budget),
        )
    });
    let nodes: Vec<Node> = nodes.collect();
    let after = all
        .iter()
        .map(|f| f.table.exact_from_seq)
        .min()
        .expect("tables");
    let mut edges = Vec::new();
    for key in &KEYS {
        let (parent, child) = (plan(&all[key.0]), plan(&all[key.2]));
        let link = Link::new(&foreign_key(key), &parent, &child);
        let span = Span::new(&Arc::default(), after, Seq(through as i64));
        let name = &all[key.0].table.name;
        let mut scan = Scan::new(name, vec![link.clone()], (&span, false), &budget);
        for bytes in &all[key.0].changes {
            scan.file(bytes.clone(), &parent)?;
        }
        let log = scan.finish()?.remove(0);
        edges.push(Edge::new(link, (key.0, key.2), log, &budget));
    }
    let mut graph = Graph::new(nodes, edges, budget);
    while let Some(index) = graph.next()? {
        graph.walk(index, all[index].input(through))?;
    }
    Ok(graph)
}

fn folded(graph: &Graph, all: &[Files], through: usize) -> Result<State> {
    let mut state = Vec::new();
    for (index, files) in all.iter().enumerate() {
        let input = files.input(through);
        let plan = TablePlan::compile(Arc::clone(input.version()))?;
        let cascades = graph.cascades(index)?.map(Arc::new);
        let input = files.input(through);
        let input = input.folded_by(cascades.map(|cascades| cascades as Arc<dyn Fold>));
        let mut rows: Vec<Row> = Vec::new();
        input.appeared(|image, copies| {
            let mut cells = Vec::new();
            plan.layout().split(image, &mut cells)?;
            let number = |range: &std::ops::Range<u32>| {
                let cell = &image[range.start as usize..range.end as usize];
                i32::from_le_bytes(cell.try_into().expect("cell"))
            };
            let row: Row = cells.iter().map(|c| c.as_ref().map(number)).collect();
            rows.extend(std::iter::repeat_n(row, copies as usize));
            Ok(())
        })?;
        rows.sort();
        state.push(rows);
    }
    Ok(state)
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = (
        0..5usize,
        0..10u8,
        0..1_000usize,
        [0..8i32, 0..8, 0..8, 0..8],
    );
    prop::collection::vec(wish, 20..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn derived_states_are_the_engines(
        wishes in wishes(),
        segment in 1..40usize,
        base in 0..1_000usize,
        rest in 0..1_000usize,
    ) {
        let history = history(&wishes);
        let base = base % (1 + history.1.len() / 2);
        let through = base + rest % (history.1.len() - base);
        let all: Vec<Files> = (0..5).map(|t| files(t, &history, (base, segment))).collect();
        match derive(&all, through, BYTES_MAX).and_then(|graph| folded(&graph, &all, through)) {
            Ok(state) => prop_assert_eq!(&state, &history.1[through]),
            // Rare, and said.
            Err(error) => {
                prop_assert!(error.message().contains("do not commute"), "{error:?}");
                prop_assert_eq!(error.kind(), ErrorKind::Gap);
            }
        }
    }

    #[test]
    fn children_may_have_an_older_base(wishes in wishes(), base in 0..1_000usize, ahead in 0..20usize) {
        let history = history(&wishes);
        let base = base % (1 + history.1.len() / 2);
        let later = (base + ahead).min(history.1.len() - 1);
        let through = history.1.len() - 1;
        // The first parent was read after its children: what it passed on until then is logged.
        let all: Vec<Files> = (0..5)
            .map(|t| files(t, &history, (if t == 0 { later } else { base }, 7)))
            .collect();
        match derive(&all, through, BYTES_MAX).and_then(|graph| folded(&graph, &all, through)) {
            Ok(state) => prop_assert_eq!(&state, &history.1[through]),
            Err(error) => prop_assert!(error.message().contains("do not commute"), "{error:?}"),
        }
    }
}

#[test]
fn more_files_than_are_merged_at_once_keep_every_entry() {
    let mut wishes: Vec<Wish> = vec![(0, 0, 0, [1, 1, 7, 7]), (0, 0, 0, [2, 2, 7, 7])];
    for n in 0..400 {
        // A row comes, goes with its parent, and comes again; another one stays.
        wishes.push((1, 0, 0, [n % 3, 1, 7, 7]));
        wishes.push((1, 7, 1, [7, 1 + n % 2, 7, 7]));
        if n % 7 == 0 {
            wishes.push((0, 5, 0, [0; 4]));
            wishes.push((0, 0, 0, [1, 1, 7, 7]));
            wishes.push((0, 0, 0, [2, 2, 7, 7]));
        }
    }
    let history = history(&wishes);
    let through = history.0.len();
    let all: Vec<Files> = (0..5).map(|t| files(t, &history, (3, 1))).collect();
    assert!(all[1].changes.len() > 200, "{} files", all[1].changes.len());
    let graph = derive(&all, through, BYTES_MAX).expect("derive");
    let state = folded(&graph, &all, through).expect("fold");
    assert_eq!(state, history.1[through]);
}

#[test]
fn without_checks_nothing_is_passed_on() {
    let history = ended(9);
    let all: Vec<Files> = (0..5).map(|t| files(t, &history, (18, 5))).collect();
    let graph = derive(&all, 24, BYTES_MAX).expect("derive");
    let state = folded(&graph, &all, 24).expect("fold");
    assert_eq!(state, history.1[24]);
    assert_eq!([state[0].len(), state[1].len(), state[2].len()], [0, 6, 6]);
}

/// Parents 1 to 6 with two children each, and the parents' end.
fn small() -> (Vec<(Vec<Change>, u16)>, Vec<State>) {
    ended(5)
}

/// The same; `kind` is of the wishes for the end.
fn ended(kind: u8) -> (Vec<(Vec<Change>, u16)>, Vec<State>) {
    let mut wishes: Vec<Wish> = Vec::new();
    wishes.extend((1..=6).map(|v| (0, 0, 0, [v, v, 7, 7])));
    wishes.extend((1..=6).map(|v| (1, 0, 0, [v, v, v, 7])));
    wishes.extend((1..=6).map(|v| (2, 0, 0, [v, v, v, 7])));
    wishes.extend((1..=6).map(|_| (0, kind, 0, [0; 4])));
    history(&wishes)
}

#[test]
fn what_was_read_at_different_moments_is_refused() {
    let history = small();
    assert_eq!(history.0.len(), 24);
    let through = history.0.len();
    // b at 20 received deletes after 18, the base of c: which rows they were, b's base cannot say.
    let bases = [18, 20, 18, 18, 18];
    let all: Vec<Files> = (0..5).map(|t| files(t, &history, (bases[t], 5))).collect();
    let error = derive(&all, through, BYTES_MAX).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Gap);
    assert!(error.message().contains("different moments"), "{error:?}");
    assert_eq!(error.get("parent_seq"), Some("20"));
}

#[test]
fn memory_is_bounded() {
    let history = small();
    let all: Vec<Files> = (0..5).map(|t| files(t, &history, (18, 5))).collect();
    let error = derive(&all, 24, 1_000).expect_err("refused");
    assert!(
        error.message().contains("do not fit into memory"),
        "{error:?}"
    );
    assert_eq!(error.get("parent"), Some("d.a"));
    derive(&all, 24, 1 << 20).expect("enough");
}

#[test]
fn ancestors_are_found_through_tables_not_taken() {
    let keys: Vec<ForeignKey> = KEYS.iter().map(foreign_key).collect();
    let names: Vec<TableName> = TABLES.iter().map(|t| TableName::new("d", t.0)).collect();
    let filter = TableFilter::of_tables(names[4..].iter());
    let found = ancestors(&keys, names.iter(), &filter);
    assert_eq!(
        found.into_iter().map(|n| n.table).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
}

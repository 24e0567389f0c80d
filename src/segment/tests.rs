//! The whole way: row image -> Arrow -> Parquet -> Arrow -> row image, for every type.

mod types;

use super::testing::{Cells, any_row, every_column, image_of, plan};
use super::*;
use crate::change::{Op, narrow, widen};
use crate::position::{Flavor, Seq};
use crate::schema::{Generated, TableVersion};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use proptest::prelude::*;
use std::sync::Arc;

fn change_row(row: i64) -> ChangeRow {
    ChangeRow {
        op: [Op::Insert, Op::UpdateBefore, Op::UpdateAfter, Op::Delete][row as usize / 3 % 4],
        seq: Seq(7 + row / 2),
        row,
        event: row as i32,
        flags: 0xfff1,
        commit_time_us: -1_000_000 * row,
    }
}

/// Images of a batch of [`write_changes`].
const BATCH: usize = 4;

fn write_changes(plan: &Arc<TablePlan>, images: &[Vec<u8>]) -> TableFile {
    let mut builder = ChangeBuilder::new(plan.clone(), 8);
    let options = FileOptions::new(FileKind::Change, RowOrder::Unsorted, false);
    let mut writer = TableFileWriter::new(plan.clone(), options).expect("writer");
    // A batch is one image alone, then a block.
    for (batch, images) in images.chunks(BATCH).enumerate() {
        let rows: Vec<ChangeRow> = (BATCH * batch..)
            .take(images.len())
            .map(|row| change_row(row as i64))
            .collect();
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        builder.append(images[0], &rows[0]).expect("append");
        builder
            .append_block(&images[1..], &rows[1..])
            .expect("append");
        if images.len() == BATCH {
            writer
                .write(&builder.finish().expect("batch"))
                .expect("write");
        }
    }
    writer
        .write(&builder.finish().expect("batch"))
        .expect("write");
    writer.finish().expect("finish")
}

/// Reads a change file back and checks images, system columns and keys.
fn check_changes(plan: &Arc<TablePlan>, file: &TableFile, images: &[Vec<u8>]) {
    let reader = TableFileReader::open(file.bytes.clone(), plan.clone(), FileKind::Change);
    let reader = reader.expect("open");
    assert_eq!(reader.rows(), images.len() as u64);
    let encoder = ImageEncoder::new(plan.clone());
    let keys = KeyCodec::new(plan.clone());
    let options = ReadOptions {
        batch_rows: 5,
        ..ReadOptions::default()
    };
    let mut row = 0;
    for batch in reader.read(&options).expect("read") {
        let batch = batch.expect("batch");
        let view = BatchView::new(plan, &batch).expect("view");
        for index in 0..view.rows() {
            let mut image = Vec::new();
            encoder.image(&view, index, &mut image).expect("image");
            assert_eq!(hex::encode(&image), hex::encode(&images[row]), "row {row}");
            assert_eq!(view.change(index).expect("change"), change_row(row as i64));
            let (mut cells, mut from_image, mut from_batch) = (Vec::new(), Vec::new(), Vec::new());
            plan.layout().split(&image, &mut cells).expect("split");
            let typed = keys.encode_image(&image, &cells, &mut from_image);
            let same = keys.encode_batch(&view, index, &mut from_batch);
            assert_eq!(typed.expect("key"), same.expect("key"));
            assert_eq!(from_image, from_batch);
            assert!(file.stats.key_min <= from_image && from_image <= file.stats.key_max);
            row += 1;
        }
    }
    assert_eq!(row, images.len());
}

/// Writes a base file of these images and reads it back.
fn check_base(plan: &Arc<TablePlan>, images: &[Vec<u8>]) {
    let mut builder = BaseBuilder::new(plan.clone(), 1);
    for image in images {
        builder.append(image, Seq(9)).expect("append");
    }
    let options = FileOptions::new(FileKind::Base, RowOrder::Unsorted, false);
    let mut writer = TableFileWriter::new(plan.clone(), options).expect("writer");
    writer
        .write(&builder.finish().expect("batch"))
        .expect("write");
    let file = writer.finish().expect("finish");
    let reader = TableFileReader::open(file.bytes, plan.clone(), FileKind::Base).expect("open");
    let encoder = ImageEncoder::new(plan.clone());
    let mut back = Vec::new();
    for batch in reader.read(&ReadOptions::default()).expect("read") {
        let batch = batch.expect("batch");
        let view = BatchView::new(plan, &batch).expect("view");
        for row in 0..view.rows() {
            let mut image = Vec::new();
            encoder.image(&view, row, &mut image).expect("image");
            assert_eq!(view.seq(row).expect("seq"), Seq(9));
            back.push(image);
        }
    }
    assert_eq!(back, images);
}

fn rows_of_every_type() -> BoxedStrategy<Vec<Cells>> {
    prop::collection::vec(any_row(&every_column()), 1..9).boxed()
}

fn images(flavor: Flavor, rows: &[Cells]) -> Vec<Vec<u8>> {
    rows.iter().map(|cells| image_of(flavor, cells)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn images_survive_parquet(rows in rows_of_every_type()) {
        for flavor in [Flavor::MySql, Flavor::MariaDb] {
            let plan = plan(flavor, every_column(), &[21, 9, 13, 38, 48, 11]);
            let images = images(flavor, &rows);
            check_changes(&plan, &write_changes(&plan, &images), &images);
        }
    }

    #[test]
    fn base_rows_survive_parquet_without_a_key(rows in rows_of_every_type()) {
        let plan = plan(Flavor::MariaDb, every_column(), &[]);
        check_base(&plan, &images(Flavor::MariaDb, &rows));
    }

    #[test]
    fn picked_rows_are_the_rows(
        rows in rows_of_every_type(),
        picks in prop::collection::vec((0..3_usize, any::<prop::sample::Index>()), 1..20),
    ) {
        let plan = plan(Flavor::MySql, every_column(), &[21]);
        let images = images(Flavor::MySql, &rows);
        let mut changes = ChangeBuilder::new(plan.clone(), 1);
        let mut bases = BaseBuilder::new(plan.clone(), 1);
        for (row, image) in images.iter().enumerate() {
            changes.append(image, &change_row(row as i64)).expect("append");
            bases.append(image, Seq(100 + row as i64)).expect("append");
        }
        let changes = changes.finish().expect("batch");
        let file = write_changes(&plan, &images);
        let reader = TableFileReader::open(file.bytes, plan.clone(), FileKind::Change);
        let mut read = reader.expect("open").read(&ReadOptions::default()).expect("read");
        let read = read.next().expect("a batch").expect("a batch");
        let batches = [changes, bases.finish().expect("batch"), read];
        let mut pick = RowPick::default();
        let mut wanted = Vec::new();
        for (batch, index) in &picks {
            let row = index.index(images.len());
            pick.push(&batches[*batch], row);
            let seq = if *batch == 1 { Seq(100 + row as i64) } else { change_row(row as i64).seq };
            wanted.push((images[row].clone(), seq));
        }
        prop_assert_eq!(pick.len(), wanted.len());
        let batch = pick.base_batch(&plan).expect("picked");
        prop_assert_eq!(batch.schema_ref(), plan.base_schema());
        let view = BatchView::new(&plan, &batch).expect("view");
        let encoder = ImageEncoder::new(plan.clone());
        let mut picked = Vec::new();
        for row in 0..view.rows() {
            let mut image = Vec::new();
            encoder.image(&view, row, &mut image).expect("image");
            picked.push((image, view.seq(row).expect("seq")));
        }
        prop_assert_eq!(picked, wanted);
    }

    #[test]
    fn absent_cells_survive_and_do_not_tell_rows_apart(
        rows in rows_of_every_type(),
        lacks in prop::collection::vec(any::<bool>(), every_column().len()),
    ) {
        let mut columns = every_column();
        let mut absent = vec![0_u8; columns.len().div_ceil(8)];
        for (index, _) in lacks.iter().enumerate().filter(|(_, lacks)| **lacks) {
            columns[index].generated = Some(Generated::Stored);
            absent[index / 8] |= 1 << (index % 8);
        }
        let mut version = TableVersion::clone(plan(Flavor::MariaDb, columns, &[]).version());
        version.given_rows = true;
        let plan = Arc::new(TablePlan::compile(Arc::new(version)).expect("plan"));
        let key = |row: &[u8]| {
            let (mut cells, mut key) = (Vec::new(), Vec::new());
            plan.layout().split_row(row, &mut cells).expect("row");
            KeyCodec::new(plan.clone()).encode_image(row, &cells, &mut key).expect("key");
            key
        };
        let mut lacking = Vec::new();
        for cells in &rows {
            let present = lacks.iter().zip(cells);
            let some = present.map(|(lacks, cell)| cell.clone().filter(|_| !lacks)).collect();
            let mut row = image_of(Flavor::MariaDb, &some);
            if absent.iter().any(|byte| *byte != 0) {
                row.extend_from_slice(&absent);
            }
            prop_assert_eq!(key(&row), key(&image_of(Flavor::MariaDb, cells)));
            let (mut ranges, mut narrowed, mut again) = (Vec::new(), Vec::new(), Vec::new());
            let parts = plan.layout().split_row(&row, &mut ranges).expect("row");
            narrow(&parts, &ranges, Flavor::MariaDb, &mut narrowed).expect("narrow");
            let present: Vec<u8> = absent.iter().map(|byte| !byte).collect();
            let used = widen((plan.layout(), Flavor::MariaDb), &present, &narrowed, &mut again);
            prop_assert_eq!(used, Some(narrowed.len()));
            prop_assert_eq!(hex::encode(&again), hex::encode(&row));
            lacking.push(row);
        }
        check_changes(&plan, &write_changes(&plan, &lacking), &lacking);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let plan = plan(Flavor::MySql, every_column(), &[0]);
        let mut cells = Vec::new();
        let split = plan.layout().split(&bytes, &mut cells);
        prop_assert_eq!(split.is_ok(), plan.layout().measure(&bytes).is_ok());
        let appended = ChangeBuilder::new(plan.clone(), 1).append(&bytes, &change_row(0));
        let is_row = plan.layout().split_row(&bytes, &mut cells).is_ok();
        prop_assert_eq!(appended.is_ok(), is_row);
        let mut scratch = Scratch::default();
        for codec in plan.codecs() {
            let _ = codec.decode(&bytes, &mut scratch);
        }
        let _: Vec<_> = RawReader::new(&bytes).collect();
        let _ = Canonicalizer::new(plan.clone()).hash(&bytes, &cells, &mut CanonicalRow::default());
        prop_assert!(identify(&bytes::Bytes::from(bytes)).is_err());
    }
}

#[test]
fn unusual_filler_bits_survive() {
    let columns = every_column();
    let unused = 8 - columns.len() % 8;
    assert!(unused < 8, "this test needs filler bits");
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let plan = plan(flavor, columns.clone(), &[0]);
        let mut image = image_of(flavor, &vec![None; columns.len()]);
        let last = image.len() - 1;
        image[last] ^= 0x80;
        let images = [image];
        check_changes(&plan, &write_changes(&plan, &images), &images);
    }
}

#[test]
fn rows_are_not_picked_of_batches_of_another_shape() {
    let plan = plan(Flavor::MySql, every_column(), &[0]);
    let empty = RowPick::default().base_batch(&plan).expect("no rows");
    assert_eq!(empty.num_rows(), 0);
    let image = image_of(Flavor::MySql, &vec![None; every_column().len()]);
    let mut builder = BaseBuilder::new(plan.clone(), 1);
    builder.append(&image, Seq(1)).expect("append");
    let batch = builder.finish().expect("batch");
    let without_raw: Vec<usize> = (0..batch.num_columns() - 1).collect();
    let mut pick = RowPick::default();
    pick.push(&batch.project(&without_raw).expect("project"), 0);
    let error = pick.base_batch(&plan).expect_err("refused");
    assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
    assert!(error.report().contains("__raw"), "{}", error.report());
    // Its integer of another width under the id of the first column.
    let mut fields = batch.schema_ref().fields().to_vec();
    let wide = fields[0].as_ref().clone().with_data_type(DataType::Int64);
    fields[0] = Arc::new(wide);
    let mut columns = batch.columns().to_vec();
    columns[0] = arrow_array::new_null_array(&DataType::Int64, 1);
    let other = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch");
    let mut pick = RowPick::default();
    pick.push(&other, 0);
    let error = pick.base_batch(&plan).expect_err("refused");
    assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
    let report = error.report();
    assert!(
        report.contains("another type") && report.contains("tiny"),
        "{report}"
    );
}

#[test]
fn own_columns_never_hide_system_columns() {
    let plan = plan(Flavor::MySql, every_column(), &[0]);
    let schema = plan.change_schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let renamed = names.iter().filter(|n| n.starts_with("__OP__col")).count();
    assert_eq!(renamed, 1);
    assert_eq!(names.iter().filter(|n| **n == "__op").count(), 1);
    assert_eq!(names.last(), Some(&"__raw"));
    let own = names.len() - 7;
    assert_eq!(plan.base_schema().fields().len(), own + 2);
}

#[test]
fn a_file_of_another_version_is_refused() {
    let plan_1 = plan(Flavor::MySql, every_column(), &[0]);
    let mut version = plan_1.version().as_ref().clone();
    version.version = 2;
    let plan_2 = Arc::new(TablePlan::compile(Arc::new(version)).expect("plan"));
    let image = image_of(Flavor::MySql, &vec![None; every_column().len()]);
    let file = write_changes(&plan_1, &[image]);
    let error = TableFileReader::open(file.bytes.clone(), plan_2, FileKind::Change);
    assert_eq!(
        error.expect_err("refused").kind(),
        crate::error::ErrorKind::Incompatible
    );
    let error = TableFileReader::open(file.bytes.clone(), plan_1.clone(), FileKind::Base);
    assert_eq!(
        error.expect_err("refused").kind(),
        crate::error::ErrorKind::Corrupt
    );
    let identity = identify(&file.bytes).expect("identity");
    assert_eq!(identity.version, 1);
    assert_eq!(identity.sha256, plan_1.version_sha256());
}

#[test]
fn damaged_files_are_errors() {
    let plan = plan(Flavor::MySql, every_column(), &[0]);
    let image = image_of(Flavor::MySql, &vec![None; every_column().len()]);
    let images = vec![image; 40];
    let file = write_changes(&plan, &images).bytes;
    let mut refused = 0;
    for at in (0..file.len()).step_by(7) {
        let mut damaged = file.to_vec();
        damaged[at] ^= 0x55;
        let damaged = bytes::Bytes::from(damaged);
        let Ok(reader) = TableFileReader::open(damaged, plan.clone(), FileKind::Change) else {
            refused += 1;
            continue;
        };
        let Ok(batches) = reader.read(&ReadOptions::default()) else {
            refused += 1;
            continue;
        };
        for batch in batches {
            match batch {
                Err(_) => refused += 1,
                Ok(batch) => {
                    let encoder = ImageEncoder::new(plan.clone());
                    if let Ok(view) = BatchView::new(&plan, &batch) {
                        for row in 0..view.rows() {
                            let _ = encoder.image(&view, row, &mut Vec::new());
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 0);
}

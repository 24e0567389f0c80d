//! What is in the Parquet footers: order, dictionaries, bloom filters, sizes.

use super::*;
use crate::error::ErrorKind;
use crate::position::{Flavor, Seq};
use crate::schema::wire;
use crate::segment::testing::{Cells, column, every_column, image_of, plan};
use crate::segment::{BaseBuilder, TablePlan};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::ParquetMetaData;
use std::sync::Arc;

fn table(key: &[u32]) -> Arc<TablePlan> {
    let varchar = every_column()
        .into_iter()
        .find(|c| c.name == "varchar")
        .expect("varchar");
    let columns = vec![
        column("id", wire::LONG, 0),
        column("kind", wire::LONG, 0),
        varchar,
        column("a.b", wire::DATE, 0),
    ];
    plan(Flavor::MySql, columns, key)
}

fn row(id: i32, date: u8) -> Cells {
    let text = format!("text {id} {}", id.wrapping_mul(77_777));
    vec![
        Some(id.to_le_bytes().to_vec()),
        Some((id % 3).to_le_bytes().to_vec()),
        Some([&[text.len() as u8], text.as_bytes()].concat()),
        Some(vec![date, 0x64, 0x0f]),
    ]
}

fn file(
    plan: &Arc<TablePlan>,
    options: FileOptions,
    ids: impl Iterator<Item = i32>,
) -> crate::error::Result<TableFile> {
    let mut builder = BaseBuilder::new(plan.clone(), 16);
    let mut writer = TableFileWriter::new(plan.clone(), options)?;
    for id in ids {
        builder.append(&image_of(Flavor::MySql, &row(id, 0x21)), Seq(1))?;
        if builder.len() == 1_000 {
            writer.write(&builder.finish()?)?;
        }
    }
    writer.write(&builder.finish()?)?;
    writer.finish()
}

fn footer(file: &TableFile) -> Arc<ParquetMetaData> {
    let metadata = open_metadata(&file.bytes).expect("footer");
    metadata.metadata().clone()
}

fn has_dictionary(footer: &ParquetMetaData, column: usize) -> bool {
    let mut encodings = footer.row_group(0).column(column).encodings();
    encodings.any(|e| e == Encoding::RLE_DICTIONARY)
}

#[test]
fn a_sorted_base_file_declares_its_order_and_has_bloom_filters() {
    let plan = table(&[0]);
    let options = FileOptions::new(FileKind::Base, RowOrder::Sorted, true);
    let file = file(&plan, options, -5_000..5_000).expect("file");
    assert_eq!(file.stats.rows, 10_000);
    let key = |id: i64| [vec![2], (id as u64 ^ 1 << 63).to_be_bytes().to_vec()].concat();
    assert_eq!(file.stats.key_min, key(-5_000));
    assert_eq!(file.stats.key_max, key(4_999));
    let footer = footer(&file);
    let group = footer.row_group(0);
    let sorting = group.sorting_columns().expect("declared order");
    assert_eq!(sorting.len(), 1);
    assert_eq!((sorting[0].column_idx, sorting[0].nulls_first), (0, true));
    assert!(group.column(0).bloom_filter_offset().is_some());
    assert!(group.column(1).bloom_filter_offset().is_none());
    assert!(!has_dictionary(&footer, 0), "keys are distinct");
    assert!(has_dictionary(&footer, 1), "three values");
    assert!(!has_dictionary(&footer, 2), "texts are distinct");
    assert!(
        has_dictionary(&footer, 3),
        "one value, in a column with a dot"
    );
    assert!(matches!(
        group.column(2).compression(),
        Compression::ZSTD(_)
    ));
    assert!(group.column(0).column_index_offset().is_some());
}

#[test]
fn tiny_files_are_cheap_to_have_many_of() {
    let plan = table(&[0]);
    let options = FileOptions::new(FileKind::Base, RowOrder::Sorted, false);
    let footer = footer(&file(&plan, options, 0..2_047).expect("file"));
    let group = footer.row_group(0);
    assert!(group.sorting_columns().is_none());
    assert_eq!(group.column(1).compression(), Compression::SNAPPY);
    assert!(!has_dictionary(&footer, 1));
    assert!(group.column(1).column_index_offset().is_none());
    assert!(group.column(0).bloom_filter_offset().is_none());
    let empty = file(&plan, options, 0..0).expect("file");
    assert_eq!(empty.stats.rows, 0);
    assert!(empty.stats.key_min.is_empty());
    let reader = TableFileReader::open(empty.bytes, plan, FileKind::Base).expect("open");
    assert_eq!(reader.rows(), 0);
}

#[test]
fn row_groups_are_bounded_and_selectable() {
    let plan = table(&[0]);
    let options = FileOptions {
        row_group_rows_max: 3_000,
        ..FileOptions::new(FileKind::Base, RowOrder::Sorted, true)
    };
    let file = file(&plan, options, 0..10_000).expect("file");
    let reader = TableFileReader::open(file.bytes, plan, FileKind::Base).expect("open");
    assert_eq!(reader.row_group_rows(), [3_000, 3_000, 3_000, 1_000]);
    let read = |options: ReadOptions| reader.read(&options).map(|b| b.map(|b| b.expect("batch")));
    let options = ReadOptions {
        fields: Some(vec![crate::segment::system::SEQ_ID, 4]),
        row_groups: Some(vec![3, 1]),
        batch_rows: 700,
    };
    let batches: Vec<_> = read(options).expect("read").collect();
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 4_000);
    assert!(
        batches
            .iter()
            .all(|b| b.num_columns() == 2 && b.num_rows() <= 700)
    );
    let missing = ReadOptions {
        fields: Some(vec![99]),
        ..ReadOptions::default()
    };
    assert!(read(missing).is_err());
    let missing = ReadOptions {
        row_groups: Some(vec![4]),
        ..ReadOptions::default()
    };
    assert!(read(missing).is_err());
}

#[test]
fn a_false_order_is_refused() {
    let plan = table(&[0]);
    let options = FileOptions::new(FileKind::Base, RowOrder::Sorted, true);
    let error = file(&plan, options, (0..2_000).rev()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Internal);
    // A zero date has no typed value: the order of the typed column would be a lie.
    let plan = table(&[3]);
    let mut builder = BaseBuilder::new(plan.clone(), 1);
    let zero: Cells = vec![None, None, None, Some(vec![0; 3])];
    let image = image_of(Flavor::MySql, &zero);
    builder.append(&image, Seq(1)).expect("append");
    let batch = builder.finish().expect("batch");
    for typed in [true, false] {
        let options = FileOptions::new(FileKind::Base, RowOrder::Sorted, typed);
        let mut writer = TableFileWriter::new(plan.clone(), options).expect("writer");
        assert_eq!(writer.write(&batch).is_err(), typed);
    }
}

#[test]
fn several_runs_are_several_row_groups() {
    let plan = table(&[0]);
    let options = FileOptions::new(FileKind::Base, RowOrder::Runs, true);
    let mut writer = TableFileWriter::new(plan.clone(), options).expect("writer");
    let mut builder = BaseBuilder::new(plan.clone(), 1);
    for run in [50..90, 0..40] {
        for id in run {
            let image = image_of(Flavor::MySql, &row(id, 0x21));
            builder.append(&image, Seq(1)).expect("append");
        }
        let batch = builder.finish().expect("batch");
        writer.write(&batch).expect("write");
        writer.end_row_group().expect("row group");
    }
    let file = writer.finish().expect("file");
    assert!(file.stats.key_min < file.stats.key_max);
    assert!(footer(&file).row_group(0).sorting_columns().is_none());
    let reader = TableFileReader::open(file.bytes, plan, FileKind::Base).expect("open");
    assert_eq!(reader.row_group_rows(), [40, 40]);
}

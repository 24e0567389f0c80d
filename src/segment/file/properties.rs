//! How each column of a file is written: compression, dictionaries, bloom filters.

use super::{FileKind, FileOptions, METADATA_KEY, RowOrder, TINY_ROWS};
use crate::error::{Error, Result, Wrap};
use crate::schema::{Column, wire};
use crate::segment::plan::field_id;
use crate::segment::{BatchView, FileIdentity, Scratch, TablePlan, Value, system};
use arrow_array::RecordBatch;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use std::collections::HashSet;

/// A column gets a dictionary when the sample has at most one distinct value for this many rows.
const DICTIONARY_REPEAT: usize = 4;

/// Few rows of this many bytes are large.
const LARGE_BYTES: usize = 1 << 20;

/// Properties for a file whose first rows are `sample`; all of them if they are few.
pub(super) fn writer_properties(
    plan: &TablePlan,
    options: &FileOptions,
    sample: &[RecordBatch],
) -> Result<WriterProperties> {
    let tiny = sample.iter().map(RecordBatch::num_rows).sum::<usize>() < TINY_ROWS;
    let builder = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(options.row_group_rows_max))
        .set_max_row_group_bytes(Some(options.row_group_bytes_max))
        .set_key_value_metadata(Some(vec![identity(plan)?]))
        .set_sorting_columns(sorting_columns(plan, options));
    if tiny {
        let builder = builder
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        let bytes: usize = sample.iter().map(RecordBatch::get_array_memory_size).sum();
        return Ok(match bytes >= LARGE_BYTES {
            // Few rows, and large ones: the least and the greatest would be copies of them.
            true => without_statistics(plan, builder).build(),
            false => builder.build(),
        });
    }
    let level = ZstdLevel::try_new(options.zstd_level)
        .wrap(|| Error::config("choose zstd level").field("level", options.zstd_level))?;
    let builder = builder.set_compression(Compression::ZSTD(level));
    let builder = dictionaries(plan, options, sample, builder)?;
    let builder = without_statistics(plan, builder);
    Ok(bloom_filters(plan, options, builder).build())
}

fn identity(plan: &TablePlan) -> Result<KeyValue> {
    let identity = FileIdentity {
        table_id: plan.version().table_id.clone(),
        version: plan.version().version,
        sha256: plan.version_sha256().to_owned(),
    };
    let json = serde_json::to_string(&identity).wrap(|| Error::internal("write file metadata"))?;
    Ok(KeyValue::new(METADATA_KEY.to_owned(), json))
}

fn key_columns(plan: &TablePlan) -> impl Iterator<Item = usize> + '_ {
    plan.version().key.iter().map(|part| part.column as usize)
}

/// The declared order, only where it is true for the typed columns of the whole file.
fn sorting_columns(plan: &TablePlan, options: &FileOptions) -> Option<Vec<SortingColumn>> {
    let keyless = plan.version().key.is_empty();
    if options.order != RowOrder::Sorted || !options.key_typed || keyless {
        return None;
    }
    let own = plan.codecs().len();
    let ties: &[usize] = match options.kind {
        // `__seq` and `__row`.
        FileKind::Change => &[own + 1, own + 2],
        FileKind::Base => &[],
    };
    let columns = key_columns(plan).chain(ties.iter().copied());
    Some(
        columns
            .map(|column| SortingColumn {
                column_idx: column as i32,
                descending: false,
                nulls_first: true,
            })
            .collect(),
    )
}

/// Dictionaries where values repeat, by a look at the first rows; none for keys and for the
/// columns that number rows.
fn dictionaries(
    plan: &TablePlan,
    options: &FileOptions,
    sample: &[RecordBatch],
    mut builder: WriterPropertiesBuilder,
) -> Result<WriterPropertiesBuilder> {
    let key: HashSet<usize> = key_columns(plan).collect();
    let mut scratch = Scratch::default();
    for (index, codec) in plan.codecs().iter().enumerate() {
        let Some(name) = plan.stored_name(index) else {
            continue;
        };
        let value =
            |view: &BatchView<'_>, row| Ok(hash_of(view.value(index, row, &mut scratch)?));
        if !key.contains(&index) && (codec.is_label() || repeats(plan, sample, value)?) {
            builder = builder.set_column_dictionary_enabled(path(name), true);
        }
    }
    if options.kind == FileKind::Change {
        for name in [system::OP, system::EVENT, system::FLAGS] {
            builder = builder.set_column_dictionary_enabled(path(name), true);
        }
        // Transactions of many rows repeat these; for single rows plain numbers are smaller.
        for name in [system::SEQ, system::ROW, system::COMMIT_TIME] {
            let number = |view: &BatchView<'_>, row| {
                let change = view.change(row)?;
                let number = match name {
                    system::SEQ => change.seq.0,
                    system::ROW => change.row,
                    _ => change.commit_time_us,
                };
                Ok(Some(number as u64))
            };
            if repeats(plan, sample, number)? {
                builder = builder.set_column_dictionary_enabled(path(name), true);
            }
        }
    }
    Ok(builder)
}

/// Whether few values make up the first rows; `hash` gives a row's value, `None` for NULL.
fn repeats(
    plan: &TablePlan,
    sample: &[RecordBatch],
    mut hash: impl FnMut(&BatchView<'_>, usize) -> Result<Option<u64>>,
) -> Result<bool> {
    let mut distinct = HashSet::new();
    let mut values = 0usize;
    for batch in sample {
        let view = BatchView::new(plan, batch)?;
        for row in 0..view.rows().min(TINY_ROWS.saturating_sub(values)) {
            if let Some(hash) = hash(&view, row)? {
                distinct.insert(hash);
                values += 1;
            }
        }
    }
    Ok(values > 0 && distinct.len() * DICTIONARY_REPEAT <= values)
}

/// A value as one number, the same for equal values; `None` for NULL.
fn hash_of(value: Value<'_>) -> Option<u64> {
    Some(match value {
        Value::Null => return None,
        Value::Int(v) => v as u64,
        Value::Decimal(v) => v as u64,
        Value::Float(v) => u64::from(v.to_bits()),
        Value::Double(v) => v.to_bits(),
        Value::Text(text) => xxhash_rust::xxh3::xxh3_64(text.as_bytes()),
        Value::Bytes(bytes) | Value::Vector(bytes) => xxhash_rust::xxh3::xxh3_64(bytes),
    })
}

/// The least and the greatest of long texts, documents and `__raw` help nobody to skip rows, and
/// to find them costs a comparison a row.
fn without_statistics(
    plan: &TablePlan,
    mut builder: WriterPropertiesBuilder,
) -> WriterPropertiesBuilder {
    let key: HashSet<usize> = key_columns(plan).collect();
    let long = |column: &Column| {
        matches!(
            column.wire_type,
            wire::TINY_BLOB
                | wire::MEDIUM_BLOB
                | wire::LONG_BLOB
                | wire::BLOB
                | wire::BLOB_COMPRESSED
                | wire::JSON
                | wire::GEOMETRY
        )
    };
    let columns = plan.version().columns.iter().enumerate();
    let names = columns
        .filter(|(index, column)| !key.contains(index) && long(column))
        .filter_map(|(index, _)| plan.stored_name(index));
    for name in names.chain([system::RAW]) {
        builder = builder.set_column_statistics_enabled(path(name), EnabledStatistics::None);
    }
    builder
}

/// Bloom filters on the key of base files, for point reads.
fn bloom_filters(
    plan: &TablePlan,
    options: &FileOptions,
    mut builder: WriterPropertiesBuilder,
) -> WriterPropertiesBuilder {
    if options.kind == FileKind::Base {
        for name in key_columns(plan).filter_map(|column| plan.stored_name(column)) {
            builder = builder
                .set_column_bloom_filter_enabled(path(name), true)
                .set_column_bloom_filter_max_ndv(path(name), options.row_group_rows_max as u64);
        }
    }
    builder
}

/// A top-level column: names may hold dots.
fn path(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}

/// Field ids of the key columns, to find their cells in `__raw`.
pub(super) fn key_field_ids(plan: &TablePlan) -> Vec<i32> {
    let fields = plan.base_schema().fields();
    key_columns(plan)
        .filter_map(|column| field_id(fields.get(column)?))
        .collect()
}

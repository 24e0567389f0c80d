//! How each column of a file is written: compression, dictionaries, bloom filters.

use super::encoding::{ColumnEncoding, choose};
use super::{FileKind, FileOptions, METADATA_KEY, RowOrder, TINY_ROWS, path};
use crate::error::{Error, Result, Wrap};
use crate::schema::{Column, wire};
use crate::segment::plan::field_id;
use crate::segment::{FileIdentity, TablePlan, system};
use arrow_array::RecordBatch;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use std::collections::HashSet;

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
    let builder = encodings(plan, options, sample, builder)?;
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

/// Each column gets the encoding that its first rows take least room in; keys no dictionary.
fn encodings(
    plan: &TablePlan,
    options: &FileOptions,
    sample: &[RecordBatch],
    mut builder: WriterPropertiesBuilder,
) -> Result<WriterPropertiesBuilder> {
    let key: HashSet<usize> = key_columns(plan).collect();
    let schema = match options.kind {
        FileKind::Change => plan.change_schema(),
        FileKind::Base => plan.base_schema(),
    };
    for (index, field) in schema.fields().iter().enumerate() {
        let name = field.name().as_str();
        let label = match plan.codecs().get(index) {
            Some(codec) => codec.is_label() && !key.contains(&index),
            None => [system::OP, system::EVENT, system::FLAGS].contains(&name),
        };
        let encoding = match label {
            true => ColumnEncoding::Dictionary,
            false => choose(sample, index, !key.contains(&index), options.zstd_level)?,
        };
        builder = encoding.set(builder, name);
    }
    Ok(builder)
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

/// Field ids of the key columns, to find their cells in `__raw`.
pub(super) fn key_field_ids(plan: &TablePlan) -> Vec<i32> {
    let fields = plan.base_schema().fields();
    key_columns(plan)
        .filter_map(|column| field_id(fields.get(column)?))
        .collect()
}

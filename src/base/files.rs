//! `files.parquet`: the list of a base's files, one row per file.
//!
//! Columns: db, table, table_id, version, object, offset, bytes, rows, key_min, key_max, crc32,
//! sha256, fingerprint, order. Hashes and fingerprints are hex text, keys are memcomparable bytes.
//! A reader of a base takes its files from here and never from a listing: the folders of `tables/`
//! hold files of many bases.

use crate::error::{Error, Result, Wrap};
use crate::schema::{TableId, TableName};
use crate::segment::RowOrder;
use arrow_array::builder::{BinaryBuilder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{Array, ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// One file of a base: rows of one version of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseFile {
    /// The table's name at the base's Seq.
    pub name: TableName,
    /// The table's incarnation.
    pub table_id: TableId,
    /// The table version whose columns the file has.
    pub version: u32,
    /// Object name relative to the repository's root.
    pub object: String,
    /// First byte within the object.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of rows.
    pub rows: u64,
    /// Smallest key, memcomparable; `None` where the table has no key or the file no rows.
    pub key_min: Option<Vec<u8>>,
    /// Greatest key, memcomparable, inclusive.
    pub key_max: Option<Vec<u8>>,
    /// CRC32 of the bytes.
    pub crc32: u32,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Sum modulo 2^128 of the hashes of the rows.
    pub fingerprint: u128,
    /// Order of the rows.
    pub order: RowOrder,
}

fn schema() -> Arc<Schema> {
    let column = |name: &str, kind: DataType| Field::new(name, kind, name.starts_with("key_"));
    Arc::new(Schema::new(vec![
        column("db", DataType::Utf8),
        column("table", DataType::Utf8),
        column("table_id", DataType::Utf8),
        column("version", DataType::Int32),
        column("object", DataType::Utf8),
        column("offset", DataType::Int64),
        column("bytes", DataType::Int64),
        column("rows", DataType::Int64),
        column("key_min", DataType::Binary),
        column("key_max", DataType::Binary),
        column("crc32", DataType::Int64),
        column("sha256", DataType::Utf8),
        column("fingerprint", DataType::Utf8),
        column("order", DataType::Utf8),
    ]))
}

/// The bytes of `files.parquet` for a list of files, in the order given.
///
/// # Errors
/// [`Internal`](crate::error::ErrorKind::Internal) when a number is beyond its column.
pub fn write_files(files: &[BaseFile]) -> Result<Bytes> {
    let text = |get: &dyn Fn(&BaseFile) -> String| -> ArrayRef {
        let mut builder = StringBuilder::new();
        files.iter().for_each(|f| builder.append_value(get(f)));
        Arc::new(builder.finish())
    };
    let number = |get: &dyn Fn(&BaseFile) -> u64| -> Result<ArrayRef> {
        let mut builder = Int64Builder::new();
        for file in files {
            builder.append_value(i64::try_from(get(file)).wrap(too_big)?);
        }
        Ok(Arc::new(builder.finish()))
    };
    let key = |get: &dyn Fn(&BaseFile) -> Option<Vec<u8>>| -> ArrayRef {
        let mut builder = BinaryBuilder::new();
        files.iter().for_each(|f| builder.append_option(get(f)));
        Arc::new(builder.finish())
    };
    let mut version = Int32Builder::new();
    for file in files {
        version.append_value(i32::try_from(file.version).wrap(too_big)?);
    }
    let columns = vec![
        text(&|f| f.name.db.clone()),
        text(&|f| f.name.table.clone()),
        text(&|f| f.table_id.to_string()),
        Arc::new(version.finish()),
        text(&|f| f.object.clone()),
        number(&|f| f.offset)?,
        number(&|f| f.bytes)?,
        number(&|f| f.rows)?,
        key(&|f| f.key_min.clone()),
        key(&|f| f.key_max.clone()),
        number(&|f| u64::from(f.crc32))?,
        text(&|f| hex::encode(f.sha256)),
        text(&|f| format!("{:032x}", f.fingerprint)),
        text(&|f| f.order.name().to_owned()),
    ];
    let failed = || Error::internal("write base file list");
    let batch = RecordBatch::try_new(schema(), columns).wrap(failed)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema(), Some(properties)).wrap(failed)?;
    writer.write(&batch).wrap(failed)?;
    writer.close().wrap(failed)?;
    Ok(bytes.into())
}

fn too_big() -> Error {
    Error::internal("write base file list: number beyond its column")
}

/// The files of a `files.parquet`. The caller has checked the bytes against the base manifest.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the bytes are no such list, or a row names
/// an object outside the repository.
pub fn read_files(bytes: Bytes) -> Result<Vec<BaseFile>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .wrap(bad)?
        .build()
        .wrap(bad)?;
    let mut files = Vec::new();
    for batch in reader {
        let batch = batch.wrap(bad)?;
        let rows = Rows::of(&batch)?;
        for index in 0..batch.num_rows() {
            files.push(rows.file(index)?);
        }
    }
    Ok(files)
}

fn bad() -> Error {
    Error::corrupt("read base file list").hint("restore files.parquet of this base from a mirror")
}

struct Rows<'a> {
    db: &'a StringArray,
    table: &'a StringArray,
    table_id: &'a StringArray,
    version: &'a Int32Array,
    object: &'a StringArray,
    offset: &'a Int64Array,
    bytes: &'a Int64Array,
    rows: &'a Int64Array,
    key_min: &'a BinaryArray,
    key_max: &'a BinaryArray,
    crc32: &'a Int64Array,
    sha256: &'a StringArray,
    fingerprint: &'a StringArray,
    order: &'a StringArray,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Rows<'a>> {
        Ok(Rows {
            db: column(batch, "db")?,
            table: column(batch, "table")?,
            table_id: column(batch, "table_id")?,
            version: column(batch, "version")?,
            object: column(batch, "object")?,
            offset: column(batch, "offset")?,
            bytes: column(batch, "bytes")?,
            rows: column(batch, "rows")?,
            key_min: column(batch, "key_min")?,
            key_max: column(batch, "key_max")?,
            crc32: column(batch, "crc32")?,
            sha256: column(batch, "sha256")?,
            fingerprint: column(batch, "fingerprint")?,
            order: column(batch, "order")?,
        })
    }

    fn file(&self, index: usize) -> Result<BaseFile> {
        let number = |column: &Int64Array| u64::try_from(column.value(index)).wrap(bad);
        let key =
            |column: &BinaryArray| (!column.is_null(index)).then(|| column.value(index).to_owned());
        let object = self.object.value(index);
        let inside = object
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
        if !inside {
            return Err(bad().field("object", object));
        }
        let mut sha256 = [0; 32];
        hex::decode_to_slice(self.sha256.value(index), &mut sha256).wrap(bad)?;
        let order = self.order.value(index);
        Ok(BaseFile {
            name: TableName::new(self.db.value(index), self.table.value(index)),
            table_id: TableId::parse(self.table_id.value(index))?,
            version: u32::try_from(self.version.value(index)).wrap(bad)?,
            object: object.to_owned(),
            offset: number(self.offset)?,
            bytes: number(self.bytes)?,
            rows: number(self.rows)?,
            key_min: key(self.key_min),
            key_max: key(self.key_max),
            crc32: u32::try_from(self.crc32.value(index)).wrap(bad)?,
            sha256,
            fingerprint: u128::from_str_radix(self.fingerprint.value(index), 16).wrap(bad)?,
            order: RowOrder::parse(order).ok_or_else(|| bad().field("order", order))?,
        })
    }
}

fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a A> {
    let found = batch.column_by_name(name);
    let array = found.and_then(|array| array.as_any().downcast_ref::<A>());
    let array = array.ok_or_else(|| bad().field("column", name))?;
    if array.null_count() > 0 && !name.starts_with("key_") {
        return Err(bad().field("column", name));
    }
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Seq;

    fn file(n: u32) -> BaseFile {
        BaseFile {
            name: TableName::new("d\"b", format!("t'{n}")),
            table_id: TableId::allocate(1, Seq(7), n),
            version: n + 1,
            object: format!("tables/x/v1/{n}.parquet"),
            offset: u64::from(n),
            bytes: 1 << 40,
            rows: 3,
            key_min: (n > 0).then(|| vec![0, 255]),
            key_max: (n > 0).then(|| vec![1]),
            crc32: u32::MAX,
            sha256: [n as u8; 32],
            fingerprint: u128::MAX - u128::from(n),
            order: if n == 0 {
                RowOrder::Runs
            } else {
                RowOrder::Sorted
            },
        }
    }

    #[test]
    fn a_list_comes_back_as_written() {
        for files in [vec![], vec![file(0)], (0..3).map(file).collect()] {
            let bytes = write_files(&files).expect("write");
            assert_eq!(read_files(bytes).expect("read"), files);
        }
    }

    #[test]
    fn objects_outside_the_repository_and_damage_are_refused() {
        for object in ["", "/etc/passwd", "tables/../../x", "a//b", "./a"] {
            let mut one = file(1);
            one.object = object.to_owned();
            let bytes = write_files(&[one]).expect("write");
            assert!(read_files(bytes).is_err(), "{object}");
        }
        let bytes = write_files(&[file(1)]).expect("write");
        assert!(read_files(bytes.slice(..bytes.len() - 9)).is_err());
        assert!(read_files(Bytes::from_static(b"PAR1")).is_err());
    }
}

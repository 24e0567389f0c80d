//! Which Parquet encoding makes a column smallest, by a look at its first rows.
//!
//! Numbers are tried as they are (what zstd makes of them), as differences, and with a dictionary;
//! everything else gets a dictionary where few values make up the rows. Only encodings that readers
//! have known for long are taken: `BYTE_STREAM_SPLIT` of integers would sometimes be smaller.

use super::{TINY_ROWS, path};
use crate::error::{Error, Result, Wrap};
use crate::segment::column::ColumnValues;
use crate::segment::raw::put_uvarint;
use crate::segment::{Scratch, Value};
use arrow_array::RecordBatch;
use foldhash::fast::FixedState;
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use std::collections::{HashMap, HashSet};

/// Rows of a column that are looked at: numbers are cheap to look at.
const NUMBERS_MAX: usize = 8_192;
/// A dictionary takes at most one distinct value for this many rows.
const DICTIONARY_REPEAT: usize = 4;
/// A dictionary is stored once for a whole row group, which is longer than what was looked at.
const DICTIONARY_SHARE: usize = 4;
/// Indexes are written as runs where these are as long as this, at least on the whole.
const RUN: usize = 8;
/// One length is nearly another when it differs by this part of it.
const NEARLY_EQUAL: usize = 16;
/// Values of one block of differences, and of one of the parts that have a width each. Source:
/// Parquet, Encodings.md, "Delta encoding", as the parquet crate writes it.
const DELTA_BLOCK: usize = 128;
const DELTA_PART: usize = 32;

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::segment) enum ColumnEncoding {
    Plain,
    Dictionary,
    /// `DELTA_BINARY_PACKED`.
    Delta,
}

impl ColumnEncoding {
    /// Has the column of this name written so; names may hold dots.
    pub(in crate::segment) fn set(
        self,
        builder: WriterPropertiesBuilder,
        name: &str,
    ) -> WriterPropertiesBuilder {
        let with_dictionary = self == ColumnEncoding::Dictionary;
        let builder = builder.set_column_dictionary_enabled(path(name), with_dictionary);
        match self {
            ColumnEncoding::Plain | ColumnEncoding::Dictionary => builder,
            ColumnEncoding::Delta => {
                builder.set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED)
            }
        }
    }
}

/// The encoding of the column at `index` of these batches; `dictionary` says whether it may get one.
pub(in crate::segment) fn choose(
    sample: &[RecordBatch],
    index: usize,
    dictionary: bool,
    zstd_level: i32,
) -> Result<ColumnEncoding> {
    let (mut numbers, mut scratch) = (Vec::new(), Scratch::default());
    let mut bytes = None;
    for batch in sample {
        let array = batch.columns().get(index);
        let Some(values) = array.and_then(|array| ColumnValues::of(array.as_ref())) else {
            return Ok(ColumnEncoding::Plain);
        };
        match values.integer_bytes() {
            Some(size) => bytes = Some(size),
            None => return Ok(by_repetition(sample, index, dictionary)),
        }
        for row in 0..batch.num_rows().min(NUMBERS_MAX - numbers.len()) {
            if let Value::Int(number) = values.value(row, &mut scratch) {
                numbers.push(number);
            }
        }
    }
    match bytes {
        Some(size) => of_numbers(&numbers, size, dictionary, zstd_level),
        None => Ok(ColumnEncoding::Plain),
    }
}

/// The smallest for numbers of `size` bytes each; among equals the one that readers like best.
fn of_numbers(
    numbers: &[i64],
    size: usize,
    dictionary: bool,
    zstd_level: i32,
) -> Result<ColumnEncoding> {
    let compressed = |bytes: &[u8]| {
        let bytes = zstd::bulk::compress(bytes, zstd_level);
        bytes
            .map(|bytes| bytes.len())
            .wrap(|| Error::internal("try encodings of a column"))
    };
    let mut best = (usize::MAX, ColumnEncoding::Plain);
    if dictionary && let Some((indexes, shared)) = indexed(numbers, size) {
        best = (compressed(&indexes)? + shared, ColumnEncoding::Dictionary);
    }
    let mut plain = Vec::with_capacity(numbers.len() * size);
    for number in numbers {
        plain.extend_from_slice(number.to_le_bytes().get(..size).unwrap_or_default());
    }
    for (bytes, encoding) in [
        (differences(numbers), ColumnEncoding::Delta),
        (plain, ColumnEncoding::Plain),
    ] {
        let length = compressed(&bytes)?;
        if length < best.0 - best.0 / NEARLY_EQUAL {
            best = (length, encoding);
        }
    }
    Ok(best.1)
}

/// The numbers as `DELTA_BINARY_PACKED` holds them, nearly.
fn differences(numbers: &[i64]) -> Vec<u8> {
    let differences: Vec<i64> = numbers
        .windows(2)
        .map(|pair| match pair {
            [a, b] => b.wrapping_sub(*a),
            _ => 0,
        })
        .collect();
    let mut out = Vec::new();
    for block in differences.chunks(DELTA_BLOCK) {
        let least = block.iter().copied().min().unwrap_or(0);
        put_uvarint(&mut out, ((least << 1) ^ (least >> 63)) as u64);
        for part in block.chunks(DELTA_PART) {
            let above = part.iter().map(|d| d.wrapping_sub(least) as u64);
            let width = u64::BITS - above.clone().max().unwrap_or(0).leading_zeros();
            out.push(width as u8);
            put_bits(&mut out, above, width);
        }
    }
    out
}

/// The numbers as indexes into a dictionary, and a share of that; `None` as soon as there are too many.
fn indexed(numbers: &[i64], size: usize) -> Option<(Vec<u8>, usize)> {
    let most = numbers.len() / DICTIONARY_REPEAT;
    let mut dictionary = HashMap::with_hasher(FixedState::default());
    let mut indexes: Vec<u64> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let next = dictionary.len();
        indexes.push(*dictionary.entry(*number).or_insert(next as u64));
        if dictionary.len() > most {
            return None;
        }
    }
    let distinct = dictionary.len();
    if distinct == 0 {
        return None;
    }
    let width = u64::BITS - (distinct as u64 - 1).leading_zeros();
    let mut out = Vec::new();
    let runs = indexes.chunk_by(|a, b| a == b);
    match runs.clone().count() * RUN <= indexes.len() {
        true => runs.for_each(|run| {
            put_uvarint(&mut out, run.len() as u64);
            put_uvarint(&mut out, run.first().copied().unwrap_or(0));
        }),
        false => put_bits(&mut out, indexes.iter().copied(), width),
    }
    Some((out, distinct * size / DICTIONARY_SHARE))
}

/// Appends the low bits of each number, one after the other.
fn put_bits(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>, width: u32) {
    let (mut bits, mut filled) = (0_u128, 0);
    for number in numbers {
        bits |= u128::from(number) << filled;
        filled += width;
        while filled >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(bits as u8);
    }
}

/// Whether few values make up the first rows.
fn by_repetition(sample: &[RecordBatch], index: usize, dictionary: bool) -> ColumnEncoding {
    let mut distinct = HashSet::with_hasher(FixedState::default());
    let mut values = 0_usize;
    let mut scratch = Scratch::default();
    for batch in sample
        .iter()
        .take(if dictionary { sample.len() } else { 0 })
    {
        let array = batch.columns().get(index);
        let Some(column) = array.and_then(|array| ColumnValues::of(array.as_ref())) else {
            continue;
        };
        for row in 0..batch.num_rows().min(TINY_ROWS.saturating_sub(values)) {
            if let Some(hash) = hash_of(column.value(row, &mut scratch)) {
                distinct.insert(hash);
                values += 1;
            }
        }
    }
    match values > 0 && distinct.len() * DICTIONARY_REPEAT <= values {
        true => ColumnEncoding::Dictionary,
        false => ColumnEncoding::Plain,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, Float64Array, Int64Array};
    use arrow_schema::{Field, Schema};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::properties::WriterProperties;
    use std::sync::Arc;

    fn batch(array: impl Array + 'static) -> RecordBatch {
        let field = Field::new("c", array.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        RecordBatch::try_new(schema, vec![Arc::new(array)]).expect("a batch")
    }

    /// Bytes of a file of this batch.
    fn size(batch: &RecordBatch, encoding: ColumnEncoding) -> usize {
        let level = ZstdLevel::try_new(1).expect("a level");
        let builder = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_dictionary_enabled(encoding == ColumnEncoding::Dictionary);
        let builder = match encoding {
            ColumnEncoding::Delta => builder.set_encoding(Encoding::DELTA_BINARY_PACKED),
            _ => builder,
        };
        let mut out = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut out, batch.schema(), Some(builder.build())).expect("writer");
        writer.write(batch).expect("write");
        writer.close().expect("close");
        out.len()
    }

    /// What is chosen is the smallest, or nearly.
    fn assert_good(name: &str, numbers: impl Iterator<Item = i64>) -> ColumnEncoding {
        let numbers: Vec<i64> = numbers.take(100_000).collect();
        let whole = batch(Int64Array::from(numbers));
        let chosen = choose(&[whole.slice(0, 8_192)], 0, true, 1).expect("chosen");
        let all = [
            ColumnEncoding::Plain,
            ColumnEncoding::Dictionary,
            ColumnEncoding::Delta,
        ];
        let best = all.into_iter().map(|e| size(&whole, e)).min();
        let (best, took) = (best.expect("three"), size(&whole, chosen));
        assert!(
            took <= best * 6 / 5 + 4_096,
            "{name}: {chosen:?} {took}, best {best}"
        );
        chosen
    }

    #[test]
    fn the_smallest_encoding_of_numbers_is_found() {
        let mut state = 7_u64;
        let mut random = move |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as i64 % bound as i64
        };
        let sequence = assert_good("a sequence", 0..);
        assert_eq!(sequence, ColumnEncoding::Delta);
        let few = assert_good("few values", (0..).map(|n| [5, 70_000, 9][n % 3]));
        assert_ne!(few, ColumnEncoding::Delta);
        let wide = assert_good("random numbers", std::iter::repeat_with(|| random(100_000)));
        assert_eq!(wide, ColumnEncoding::Delta);
        assert_good("pairs", (0..).map(|n| (n / 2) * 1_000_000_007 % 100_003));
        assert_good("one value", std::iter::repeat(-1));
        assert_good("few rows a number", (0..).map(|n| n / 500));
        assert_good("extremes", (0..).map(|n| [i64::MIN, i64::MAX][n % 2]));
    }

    #[test]
    fn other_columns_get_a_dictionary_where_values_repeat() {
        let repeated = batch(
            (0..5_000)
                .map(|n| Some(f64::from(n % 10)))
                .collect::<Float64Array>(),
        );
        let distinct = batch(
            (0..5_000)
                .map(|n| Some(f64::from(n)))
                .collect::<Float64Array>(),
        );
        let of = |batch: &RecordBatch, dictionary| {
            choose(std::slice::from_ref(batch), 0, dictionary, 1).expect("chosen")
        };
        assert_eq!(of(&repeated, true), ColumnEncoding::Dictionary);
        assert_eq!(of(&repeated, false), ColumnEncoding::Plain);
        assert_eq!(of(&distinct, true), ColumnEncoding::Plain);
        let nulls = batch(Int64Array::from(vec![None::<i64>; 3_000]));
        choose(&[nulls], 0, true, 1).expect("chosen");
    }
}

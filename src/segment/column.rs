//! Arrow columns: typed builders to append values to, typed arrays to read them from.

use super::cell::{CellCodec, Integers, Scratch, Value};
use super::plan::vector_element;
use crate::schema::StoredType;
use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, Date32Builder, Decimal128Builder, FixedSizeListBuilder,
    Float32Builder, Float64Builder, GenericByteBuilder, Int8Builder, Int16Builder, Int32Builder,
    Int64Builder, PrimitiveBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ByteArrayType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, Date32Array, Decimal128Array,
    FixedSizeListArray, Float32Array, Float64Array, GenericByteArray, Int8Array, Int16Array,
    Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::DataType;
use std::ops::Range;
use std::sync::Arc;

/// Row images that are best decoded together.
pub const BLOCK_ROWS: usize = 128;

/// Bytes of variable length that one Arrow array can hold (its offsets are 32-bit).
const ARRAY_BYTES_MAX: usize = i32::MAX as usize;

/// Builds the Arrow array of one column.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Decimal(Decimal128Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Vector(FixedSizeListBuilder<Float32Builder>, usize),
}

impl ColumnBuilder {
    /// A builder with room for `rows` values.
    pub(super) fn new(stored: StoredType, rows: usize) -> ColumnBuilder {
        match stored {
            StoredType::Int8 => ColumnBuilder::Int8(Int8Builder::with_capacity(rows)),
            StoredType::Int16 => ColumnBuilder::Int16(Int16Builder::with_capacity(rows)),
            StoredType::Int32 => ColumnBuilder::Int32(Int32Builder::with_capacity(rows)),
            StoredType::Int64 | StoredType::TimeUs => {
                ColumnBuilder::Int64(Int64Builder::with_capacity(rows))
            }
            StoredType::Decimal128 { precision, scale } => ColumnBuilder::Decimal(
                Decimal128Builder::with_capacity(rows)
                    .with_data_type(DataType::Decimal128(precision, scale)),
            ),
            StoredType::Float32 => ColumnBuilder::Float32(Float32Builder::with_capacity(rows)),
            StoredType::Float64 => ColumnBuilder::Float64(Float64Builder::with_capacity(rows)),
            StoredType::Date32 => ColumnBuilder::Date(Date32Builder::with_capacity(rows)),
            StoredType::TimestampUs { utc } => {
                let zone: Option<Arc<str>> = utc.then(|| "UTC".into());
                ColumnBuilder::Timestamp(
                    TimestampMicrosecondBuilder::with_capacity(rows).with_timezone_opt(zone),
                )
            }
            StoredType::Utf8 => ColumnBuilder::Text(StringBuilder::with_capacity(rows, 16 * rows)),
            StoredType::Binary => {
                ColumnBuilder::Bytes(BinaryBuilder::with_capacity(rows, 16 * rows))
            }
            StoredType::Vector { dimension } => {
                let dimension = dimension as usize;
                let list = FixedSizeListBuilder::with_capacity(
                    Float32Builder::new(),
                    i32::try_from(dimension).unwrap_or(i32::MAX),
                    rows,
                );
                ColumnBuilder::Vector(list.with_field(vector_element()), dimension)
            }
        }
    }

    /// A builder of `__raw`.
    pub(super) fn raw(rows: usize) -> BinaryBuilder {
        BinaryBuilder::with_capacity(rows, 0)
    }

    /// Appends a value. Returns whether it went in: one of another type, or one that no longer
    /// fits the array, is appended as NULL.
    #[inline]
    pub(super) fn append(&mut self, value: Value<'_>) -> bool {
        match (self, value) {
            (ColumnBuilder::Int8(b), Value::Int(v)) => b.append_value(v as i8),
            (ColumnBuilder::Int16(b), Value::Int(v)) => b.append_value(v as i16),
            (ColumnBuilder::Int32(b), Value::Int(v)) => b.append_value(v as i32),
            (ColumnBuilder::Int64(b), Value::Int(v)) => b.append_value(v),
            (ColumnBuilder::Date(b), Value::Int(v)) => b.append_value(v as i32),
            (ColumnBuilder::Timestamp(b), Value::Int(v)) => b.append_value(v),
            (ColumnBuilder::Decimal(b), Value::Decimal(v)) => b.append_value(v),
            (ColumnBuilder::Float32(b), Value::Float(v)) => b.append_value(v),
            (ColumnBuilder::Float64(b), Value::Double(v)) => b.append_value(v),
            (ColumnBuilder::Text(b), Value::Text(v))
                if has_room(b.values_slice().len(), v.len()) =>
            {
                b.append_value(v);
            }
            (ColumnBuilder::Bytes(b), Value::Bytes(v))
                if has_room(b.values_slice().len(), v.len()) =>
            {
                b.append_value(v);
            }
            (ColumnBuilder::Vector(b, dimension), Value::Vector(v))
                if v.len() == 4 * *dimension =>
            {
                for element in v.chunks_exact(4) {
                    let bits = element.try_into().map_or(0, u32::from_le_bytes);
                    b.values().append_value(f32::from_bits(bits));
                }
                b.append(true);
            }
            (builder, value) => {
                builder.append_null();
                return value == Value::Null;
            }
        }
        true
    }

    /// Appends the cells of one column, and tells of those that it does not hold exactly.
    pub(super) fn append_cells(
        &mut self,
        codec: &CellCodec,
        cells: &Cells<'_>,
        (scratch, integers): (&mut Scratch, &mut Integers),
        mut inexact: impl FnMut(usize, Range<u32>),
    ) {
        if !codec.integers(cells.iter().map(|(cell, _)| cell), integers) {
            return self.append_each(codec, cells, scratch, inexact);
        }
        match self {
            ColumnBuilder::Int8(b) => append_integers(b, integers, |v| v as i8),
            ColumnBuilder::Int16(b) => append_integers(b, integers, |v| v as i16),
            ColumnBuilder::Int32(b) => append_integers(b, integers, |v| v as i32),
            ColumnBuilder::Int64(b) => append_integers(b, integers, |v| v),
            ColumnBuilder::Date(b) => append_integers(b, integers, |v| v as i32),
            ColumnBuilder::Timestamp(b) => append_integers(b, integers, |v| v),
            ColumnBuilder::Float64(b) => {
                append_integers(b, integers, |v| f64::from_bits(v.cast_unsigned()));
            }
            _ => return self.append_each(codec, cells, scratch, inexact),
        }
        if integers.has_none() {
            for (row, (cell, range)) in cells.iter().enumerate() {
                if cell.is_some() && integers.is_none(row) {
                    inexact(row, range);
                }
            }
        }
    }

    fn append_each(
        &mut self,
        codec: &CellCodec,
        cells: &Cells<'_>,
        scratch: &mut Scratch,
        mut inexact: impl FnMut(usize, Range<u32>),
    ) {
        for (row, (cell, range)) in cells.iter().enumerate() {
            let Some(cell) = cell else {
                self.append_null();
                continue;
            };
            let decoded = codec.decode(cell, scratch);
            let appended = self.append(decoded.value);
            if !(decoded.exact && appended) {
                inexact(row, range);
            }
        }
    }

    /// Appends NULL.
    #[inline]
    pub(super) fn append_null(&mut self) {
        match self {
            ColumnBuilder::Int8(b) => b.append_null(),
            ColumnBuilder::Int16(b) => b.append_null(),
            ColumnBuilder::Int32(b) => b.append_null(),
            ColumnBuilder::Int64(b) => b.append_null(),
            ColumnBuilder::Decimal(b) => b.append_null(),
            ColumnBuilder::Float32(b) => b.append_null(),
            ColumnBuilder::Float64(b) => b.append_null(),
            ColumnBuilder::Date(b) => b.append_null(),
            ColumnBuilder::Timestamp(b) => b.append_null(),
            ColumnBuilder::Text(b) => b.append_null(),
            ColumnBuilder::Bytes(b) => b.append_null(),
            ColumnBuilder::Vector(b, dimension) => {
                b.values().append_nulls(*dimension);
                b.append(false);
            }
        }
    }

    /// The array of all values since the last one.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Int8(b) => Arc::new(b.finish()),
            ColumnBuilder::Int16(b) => Arc::new(b.finish()),
            ColumnBuilder::Int32(b) => Arc::new(b.finish()),
            ColumnBuilder::Int64(b) => Arc::new(b.finish()),
            ColumnBuilder::Decimal(b) => Arc::new(b.finish()),
            ColumnBuilder::Float32(b) => Arc::new(b.finish()),
            ColumnBuilder::Float64(b) => Arc::new(b.finish()),
            ColumnBuilder::Date(b) => Arc::new(b.finish()),
            ColumnBuilder::Timestamp(b) => Arc::new(b.finish()),
            ColumnBuilder::Text(b) => Arc::new(finish_bytes(b)),
            ColumnBuilder::Bytes(b) => Arc::new(finish_bytes(b)),
            ColumnBuilder::Vector(b, _) => Arc::new(b.finish()),
        }
    }
}

/// The cells of one column in a block of row images.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    /// The images.
    pub(super) images: &'a [&'a [u8]],
    /// Where the cell stands in the first image; `stride` further on, in the next one.
    pub(super) ranges: &'a [Option<Range<u32>>],
    /// Columns.
    pub(super) stride: usize,
}

impl<'a> Cells<'a> {
    /// Each cell, `None` for NULL, and where it stands in its image.
    #[inline]
    fn iter(&self) -> impl ExactSizeIterator<Item = (Option<&'a [u8]>, Range<u32>)> {
        let ranges = self.ranges.iter().step_by(self.stride.max(1));
        self.images
            .iter()
            .zip(ranges)
            .map(|(image, range)| match range {
                None => (None, 0..0),
                Some(range) => {
                    let cell = image.get(range.start as usize..range.end as usize);
                    (Some(cell.unwrap_or_default()), range.clone())
                }
            })
    }
}

/// Appends whole numbers as the type of the builder.
#[inline]
fn append_integers<T: ArrowPrimitiveType>(
    builder: &mut PrimitiveBuilder<T>,
    integers: &Integers,
    narrow: impl Fn(i64) -> T::Native,
) {
    if !integers.has_none() {
        return append_all(builder, integers.values(), |value| narrow(*value));
    }
    let mut narrowed = [T::Native::default(); BLOCK_ROWS];
    for (values, valid) in integers.chunks(BLOCK_ROWS) {
        for (to, from) in narrowed.iter_mut().zip(values) {
            *to = narrow(*from);
        }
        let narrowed = narrowed.get(..values.len()).unwrap_or_default();
        builder.append_values(narrowed, valid);
    }
}

/// Appends what `value` makes of each: many at a time, for a builder asks for room each time.
#[inline]
pub(super) fn append_all<T: ArrowPrimitiveType, V>(
    builder: &mut PrimitiveBuilder<T>,
    all: &[V],
    value: impl Fn(&V) -> T::Native,
) {
    let mut block = [T::Native::default(); BLOCK_ROWS];
    for some in all.chunks(BLOCK_ROWS) {
        for (to, from) in block.iter_mut().zip(some) {
            *to = value(from);
        }
        builder.append_slice(block.get(..some.len()).unwrap_or_default());
    }
}

/// The array; the next one gets as much room at once, for to grow is to copy.
fn finish_bytes<T: ByteArrayType>(builder: &mut GenericByteBuilder<T>) -> GenericByteArray<T> {
    let (rows, bytes) = (builder.len(), builder.values_slice().len());
    let array = builder.finish();
    *builder = GenericByteBuilder::with_capacity(rows, bytes + bytes / 8);
    array
}

/// Whether an array with `used` bytes can take `more`.
pub(super) fn has_room(used: usize, more: usize) -> bool {
    used.checked_add(more)
        .is_some_and(|sum| sum <= ARRAY_BYTES_MAX)
}

/// The values of one Arrow array.
#[derive(Clone, Copy, Debug)]
pub(super) enum ColumnValues<'a> {
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Decimal(&'a Decimal128Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Vector(&'a FixedSizeListArray, &'a Float32Array),
}

impl<'a> ColumnValues<'a> {
    /// Typed access; `None` for a type that no column has.
    pub(super) fn of(array: &'a dyn Array) -> Option<ColumnValues<'a>> {
        Some(match array.data_type() {
            DataType::Int8 => ColumnValues::Int8(array.as_primitive_opt::<Int8Type>()?),
            DataType::Int16 => ColumnValues::Int16(array.as_primitive_opt::<Int16Type>()?),
            DataType::Int32 => ColumnValues::Int32(array.as_primitive_opt::<Int32Type>()?),
            DataType::Int64 => ColumnValues::Int64(array.as_primitive_opt::<Int64Type>()?),
            DataType::Decimal128(..) => {
                ColumnValues::Decimal(array.as_primitive_opt::<Decimal128Type>()?)
            }
            DataType::Float32 => ColumnValues::Float32(array.as_primitive_opt::<Float32Type>()?),
            DataType::Float64 => ColumnValues::Float64(array.as_primitive_opt::<Float64Type>()?),
            DataType::Date32 => ColumnValues::Date(array.as_primitive_opt::<Date32Type>()?),
            DataType::Timestamp(..) => {
                ColumnValues::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>()?)
            }
            DataType::Utf8 => ColumnValues::Text(array.as_string_opt::<i32>()?),
            DataType::Binary => ColumnValues::Bytes(array.as_binary_opt::<i32>()?),
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list_opt()?;
                let elements = list.values().as_primitive_opt::<Float32Type>()?;
                ColumnValues::Vector(list, elements)
            }
            _ => return None,
        })
    }

    /// Bytes of a value in Parquet, for columns of whole numbers; `None` for all others.
    pub(super) fn integer_bytes(&self) -> Option<usize> {
        match self {
            ColumnValues::Int8(_)
            | ColumnValues::Int16(_)
            | ColumnValues::Int32(_)
            | ColumnValues::Date(_) => Some(4),
            ColumnValues::Int64(_) | ColumnValues::Timestamp(_) => Some(8),
            _ => None,
        }
    }

    fn array(&self) -> &'a dyn Array {
        match self {
            ColumnValues::Int8(a) => *a,
            ColumnValues::Int16(a) => *a,
            ColumnValues::Int32(a) => *a,
            ColumnValues::Int64(a) => *a,
            ColumnValues::Decimal(a) => *a,
            ColumnValues::Float32(a) => *a,
            ColumnValues::Float64(a) => *a,
            ColumnValues::Date(a) => *a,
            ColumnValues::Timestamp(a) => *a,
            ColumnValues::Text(a) => *a,
            ColumnValues::Bytes(a) => *a,
            ColumnValues::Vector(a, _) => *a,
        }
    }

    /// The value of a row; NULL for a row that does not exist.
    pub(super) fn value<'s>(&self, row: usize, scratch: &'s mut Scratch) -> Value<'s>
    where
        'a: 's,
    {
        let array = self.array();
        if row >= array.len() || array.is_null(row) {
            return Value::Null;
        }
        match self {
            ColumnValues::Int8(a) => Value::Int(i64::from(a.value(row))),
            ColumnValues::Int16(a) => Value::Int(i64::from(a.value(row))),
            ColumnValues::Int32(a) => Value::Int(i64::from(a.value(row))),
            ColumnValues::Int64(a) => Value::Int(a.value(row)),
            ColumnValues::Decimal(a) => Value::Decimal(a.value(row)),
            ColumnValues::Float32(a) => Value::Float(a.value(row)),
            ColumnValues::Float64(a) => Value::Double(a.value(row)),
            ColumnValues::Date(a) => Value::Int(i64::from(a.value(row))),
            ColumnValues::Timestamp(a) => Value::Int(a.value(row)),
            ColumnValues::Text(a) => Value::Text(a.value(row)),
            ColumnValues::Bytes(a) => Value::Bytes(a.value(row)),
            ColumnValues::Vector(a, elements) => {
                let dimension = usize::try_from(a.value_length()).unwrap_or(0);
                let start = usize::try_from(a.value_offset(row)).unwrap_or(0);
                let floats = elements.values().get(start..start + dimension);
                scratch.set_vector(floats.unwrap_or_default())
            }
        }
    }
}

//! Cells -> typed values.

use super::bytes::{content, signed, unsigned};
use super::kind::Kind;
use super::temporal::LastDate;
use super::text::TextCodec;
use super::{Decoded, Scratch, Value, compressed, json, temporal};

impl Kind {
    #[inline]
    pub(super) fn decode<'a>(&'a self, cell: &'a [u8], scratch: &'a mut Scratch) -> Decoded<'a> {
        match self {
            Kind::Int {
                unsigned: false, ..
            } => Decoded::exact(Value::Int(signed(cell))),
            Kind::Int { unsigned: true, .. } => Decoded::exact(Value::Int(unsigned(cell) as i64)),
            Kind::Wide => Decoded::exact(Value::Decimal(i128::from(unsigned(cell)))),
            Kind::Float => Decoded::exact(Value::Float(f32::from_bits(unsigned(cell) as u32))),
            Kind::Double => Decoded::exact(Value::Double(f64::from_bits(unsigned(cell)))),
            Kind::Text { prefix, codec } => text(content(cell, *prefix), *codec, scratch),
            Kind::Bytes { prefix } => match content(cell, *prefix) {
                Some(bytes) => Decoded::exact(Value::Bytes(bytes)),
                None => Decoded::RAW,
            },
            Kind::Timestamp(fraction, seconds_max) => {
                Decoded::int(temporal::decode_timestamp2(cell, *fraction, *seconds_max))
            }
            Kind::DateTime(fraction) => Decoded::int(temporal::decode_datetime2(
                cell,
                *fraction,
                &mut LastDate::default(),
            )),
            Kind::Date => Decoded::int(temporal::decode_date(cell)),
            Kind::Time(fraction) => Decoded::int(temporal::decode_time2(cell, *fraction)),
            Kind::Year => Decoded::int(temporal::decode_year(cell)),
            Kind::OldDateTime => Decoded::int(temporal::decode_old_datetime(cell)),
            Kind::OldTimestamp(max) => Decoded::int(temporal::decode_old_timestamp(cell, *max)),
            Kind::OldTime => Decoded::int(temporal::decode_old_time(cell)),
            Kind::Decimal(decimal) => match decimal.decode(cell) {
                Some(number) => Decoded {
                    value: Value::Decimal(number.unscaled),
                    exact: number.exact,
                },
                None => Decoded::RAW,
            },
            Kind::Bit { bits, .. } => bit(cell, *bits),
            Kind::Enum { labels, .. } => {
                let index = (unsigned(cell) as usize).wrapping_sub(1);
                match labels.text(index) {
                    Some(label) => Decoded::exact(Value::Text(label)),
                    None => Decoded::RAW,
                }
            }
            _ => self.decode_rare(cell, scratch).unwrap_or(Decoded::RAW),
        }
    }

    /// The kinds that need the scratch or a closer look; `None` when there is no typed form.
    fn decode_rare<'a>(&'a self, cell: &'a [u8], scratch: &'a mut Scratch) -> Option<Decoded<'a>> {
        let Scratch {
            text: room,
            bytes,
            keys,
        } = scratch;
        room.clear();
        bytes.clear();
        Some(match self {
            Kind::DecimalText(decimal) => {
                let exact = decimal.decode_text(cell, room)?;
                Decoded {
                    value: Value::Text(room),
                    exact,
                }
            }
            Kind::Set { labels, .. } => {
                labels.list(unsigned(cell), room)?;
                Decoded::exact(Value::Text(room))
            }
            Kind::Padded { prefix, length } => {
                let kept = content(cell, *prefix)?;
                if kept.len() > *length || kept.last() == Some(&0) {
                    return None;
                }
                if kept.len() == *length {
                    return Some(Decoded::exact(Value::Bytes(kept)));
                }
                bytes.extend_from_slice(kept);
                bytes.resize(*length, 0);
                Decoded::exact(Value::Bytes(bytes))
            }
            Kind::Json { prefix } => {
                let exact = json::decode(content(cell, *prefix)?, room, keys)?;
                Decoded {
                    value: Value::Text(room),
                    exact,
                }
            }
            Kind::Geometry { prefix } => {
                let (srid, wkb) = content(cell, *prefix)?.split_at_checked(4)?;
                Decoded {
                    value: Value::Bytes(wkb),
                    exact: unsigned(srid) == 0,
                }
            }
            Kind::Vector {
                prefix,
                bytes: size,
            } => {
                let elements = content(cell, *prefix).filter(|c| c.len() == *size)?;
                Decoded::exact(Value::Vector(elements))
            }
            Kind::Network { prefix, network } => {
                let kept = content(cell, *prefix)?;
                if kept.len() > network.bytes() || kept.last() == Some(&0) {
                    return None;
                }
                bytes.extend_from_slice(kept);
                bytes.resize(network.bytes(), 0);
                network.text(bytes, room)?;
                let padded = bytes.len();
                network.record(room, bytes)?;
                let (record, again) = bytes.split_at_checked(padded)?;
                Decoded {
                    value: Value::Text(room),
                    exact: record == again,
                }
            }
            Kind::Compressed { prefix, codec } => {
                let exact = compressed::inflate(content(cell, *prefix)?, bytes)?;
                let value = match codec {
                    Some(codec) => Value::Text(codec.decode(bytes, room)?),
                    None => Value::Bytes(bytes),
                };
                Decoded { value, exact }
            }
            _ => return None,
        })
    }
}

#[inline]
fn text<'a>(content: Option<&'a [u8]>, codec: TextCodec, scratch: &'a mut Scratch) -> Decoded<'a> {
    match content.and_then(|bytes| codec.decode(bytes, &mut scratch.text)) {
        Some(text) => Decoded::exact(Value::Text(text)),
        None => Decoded::RAW,
    }
}

/// BIT(n): big endian; bits above the n-th are never set.
fn bit<'a>(cell: &[u8], bits: u8) -> Decoded<'a> {
    let value = cell.iter().fold(0u64, |v, b| v << 8 | u64::from(*b));
    match bits {
        64.. => Decoded::exact(Value::Decimal(i128::from(value))),
        _ if value >> bits != 0 => Decoded::RAW,
        _ => Decoded::exact(Value::Int(value as i64)),
    }
}

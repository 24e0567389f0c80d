//! Typed values -> cells.

use super::bytes::{prefixed, put_le};
use super::kind::Kind;
use super::{Value, compressed, json, temporal};

impl Kind {
    /// `None` when this kind cannot hold the value.
    pub(super) fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
        match (self, value) {
            (Kind::Int { bytes, unsigned }, Value::Int(v)) => {
                let bits = 8 * u32::from(*bytes);
                let fits = match (unsigned, bits) {
                    (_, 64..) => true,
                    (true, _) => (0..1i64 << bits).contains(&v),
                    (false, _) => (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(&v),
                };
                put_le(out, v as u64, *bytes);
                fits.then_some(())
            }
            (Kind::Wide, Value::Decimal(v)) => {
                out.extend_from_slice(&u64::try_from(v).ok()?.to_le_bytes());
                Some(())
            }
            (Kind::Float, Value::Float(v)) => {
                out.extend_from_slice(&v.to_bits().to_le_bytes());
                Some(())
            }
            (Kind::Double, Value::Double(v)) => {
                out.extend_from_slice(&v.to_bits().to_le_bytes());
                Some(())
            }
            (Kind::Decimal(d), Value::Decimal(v)) => d.encode(v, out).then_some(()),
            (Kind::DecimalText(d), Value::Text(t)) => d.encode_text(t, out).then_some(()),
            (Kind::Date, Value::Int(v)) => temporal::encode_date(v, out),
            (Kind::DateTime(f), Value::Int(v)) => temporal::encode_datetime2(v, *f, out),
            (Kind::Timestamp(f, max), Value::Int(v)) => {
                temporal::encode_timestamp2(v, *f, *max, out)
            }
            (Kind::Time(f), Value::Int(v)) => temporal::encode_time2(v, *f, out),
            (Kind::OldDateTime, Value::Int(v)) => temporal::encode_old_datetime(v, out),
            (Kind::OldTimestamp(_), Value::Int(v)) => temporal::encode_old_timestamp(v, out),
            (Kind::OldTime, Value::Int(v)) => temporal::encode_old_time(v, out),
            (Kind::Year, Value::Int(v)) => temporal::encode_year(v, out),
            (Kind::Bit { bytes, bits }, Value::Int(v)) => {
                put_bit(out, u64::try_from(v).ok()?, *bytes, *bits)
            }
            (Kind::Bit { bytes, bits }, Value::Decimal(v)) => {
                put_bit(out, u64::try_from(v).ok()?, *bytes, *bits)
            }
            (Kind::Enum { bytes, labels }, Value::Text(t)) => {
                put_le(out, labels.index(t)? as u64 + 1, *bytes);
                Some(())
            }
            (Kind::Set { bytes, labels }, Value::Text(t)) => {
                put_le(out, labels.bits(t)?, *bytes);
                Some(())
            }
            _ => prefixed(self.prefix(), out, |out| self.encode_content(value, out)),
        }
    }

    fn encode_content(&self, value: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
        match (self, value) {
            (Kind::Text { codec, .. }, Value::Text(t)) => codec.encode(t, out).then_some(()),
            (Kind::Bytes { .. }, Value::Bytes(b)) => {
                out.extend_from_slice(b);
                Some(())
            }
            (Kind::Padded { length, .. }, Value::Bytes(b)) => {
                let kept = b.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
                out.extend_from_slice(b.get(..kept)?);
                (b.len() == *length).then_some(())
            }
            (Kind::Json { .. }, Value::Text(t)) => json::encode(t, out),
            (Kind::Geometry { .. }, Value::Bytes(wkb)) => {
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(wkb);
                Some(())
            }
            (Kind::Vector { bytes, .. }, Value::Vector(elements)) => {
                out.extend_from_slice(elements);
                (elements.len() == *bytes).then_some(())
            }
            (Kind::Network { network, .. }, Value::Text(t)) => {
                let start = out.len();
                network.record(t, out)?;
                let record = out.get(start..)?;
                let kept = record.iter().rposition(|b| *b != 0).map_or(0, |l| l + 1);
                out.truncate(start + kept);
                Some(())
            }
            (
                Kind::Compressed {
                    codec: Some(codec), ..
                },
                Value::Text(t),
            ) => {
                let mut content = Vec::new();
                if !codec.encode(t, &mut content) {
                    return None;
                }
                compressed::deflate_plain(&content, out);
                Some(())
            }
            (Kind::Compressed { codec: None, .. }, Value::Bytes(b)) => {
                compressed::deflate_plain(b, out);
                Some(())
            }
            _ => None,
        }
    }
}

fn put_bit(out: &mut Vec<u8>, value: u64, bytes: u8, bits: u8) -> Option<()> {
    if bits < 64 && value >> bits != 0 {
        return None;
    }
    let skip = 8usize.checked_sub(usize::from(bytes))?;
    out.extend_from_slice(value.to_be_bytes().get(skip..)?);
    Some(())
}

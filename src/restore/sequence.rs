//! How far a MariaDB sequence is: its row says so in columns of fixed names.

use crate::error::{Error, Result};
use crate::segment::{Scratch, TablePlan, Value};

/// Cycles so far, then how far in the direction of its steps.
pub(super) type Place = (i64, i64);

/// The place that the row image of a sequence stands for.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is no row of a sequence.
pub(super) fn place(plan: &TablePlan, image: &[u8]) -> Result<Place> {
    let mut cells = Vec::new();
    plan.layout().split(image, &mut cells)?;
    let mut scratch = Scratch::default();
    let mut number = |name: &'static str| {
        let columns = plan.version().columns.iter();
        let at = columns.clone().position(|column| column.name == name);
        let cell = at.and_then(|at| cells.get(at).cloned().flatten().map(|range| (at, range)));
        let value = cell.and_then(|(at, range)| {
            let bytes = image.get(range.start as usize..range.end as usize)?;
            match plan.codecs().get(at)?.decode(bytes, &mut scratch).value {
                Value::Int(value) => Some(value),
                Value::Decimal(value) => i64::try_from(value).ok(),
                _ => None,
            }
        });
        value.ok_or_else(|| {
            Error::corrupt("read row of a sequence: no such number").field("column", name)
        })
    };
    let (next, step, cycles) = (
        number("next_not_cached_value")?,
        number("increment")?,
        number("cycle_count")?,
    );
    Ok((
        cycles,
        if step < 0 {
            next.saturating_neg()
        } else {
            next
        },
    ))
}

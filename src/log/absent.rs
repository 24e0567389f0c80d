//! Rows events that lack cells: taken in where the server computes what is missing from the rest
//! of the row, a barrier where it does not.

use crate::change::{AbsentCells, RowsEvent, Undecoded};
use crate::manifest::{Barrier, Catalogue};
use crate::position::Seq;
use crate::schema::TableShape;
use crate::segment::TablePlan;
use std::sync::Arc;

/// What a rows event lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Only what the server computes.
    Computed,
    /// Only what the server computes; but the rows of this table, which has no key, are told apart
    /// by that, too.
    NewIdentity,
    /// Something that is not known to be computed.
    Unknown,
}

/// What the event lacks of a table.
pub(crate) fn lack(plan: &TablePlan, cells: &AbsentCells) -> Lack {
    let version = plan.version();
    let is_key = |column: usize| {
        version
            .key
            .iter()
            .any(|part| part.column as usize == column)
    };
    let mut found = Lack::Computed;
    for column in &cells.columns {
        match version.columns.get(*column) {
            Some(_) if plan.is_hidden(*column) => {}
            Some(own) if own.generated.is_some() && !is_key(*column) => {
                if version.key.is_empty() && !version.given_rows {
                    found = Lack::NewIdentity;
                }
            }
            _ => return Lack::Unknown,
        }
    }
    found
}

/// From this entry on the rows of a table without a key are told apart by their given columns;
/// what was logged before and what is logged now cannot be counted together.
pub(crate) fn identify_by_given(
    shape: &Arc<TableShape>,
    seq: Seq,
    catalogue: &mut Catalogue,
) -> Option<Barrier> {
    let version = catalogue.identify_by_given(&shape.name, seq)?;
    Some(Barrier {
        seq,
        table: Some(version.table_id.clone()),
        reason: "generated columns are no longer logged".to_owned(),
        statement: None,
    })
}

/// The event as one that cannot be taken apart.
pub(crate) fn undecoded(rows: RowsEvent) -> Undecoded {
    Undecoded {
        event: rows.absent.map_or(rows.event, |cells| cells.logged),
        shape: Some(rows.shape),
        reason: "partial row image".to_owned(),
        nested: rows.nested,
    }
}

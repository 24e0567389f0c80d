//! Shapes and numbered versions of tables.

use super::{Column, TableId, TableName};
use crate::position::{Flavor, Seq};
use serde::{Deserialize, Serialize};

/// One part of the row identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// Index into the columns.
    pub column: u32,
    /// Prefix length in characters; 0 for the whole column. Rows are identified by the whole
    /// value all the same: before images carry it.
    pub prefix: u32,
}

/// What a table map (or `information_schema`) says of a table: no ids yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Name.
    pub name: TableName,
    /// Columns in table order, hidden ones included; field ids are 0.
    pub columns: Vec<Column>,
    /// Primary key in key order; empty where there is none.
    pub key: Vec<KeyPart>,
    /// Table map body without its leading 6-byte table id, as logged; empty when this shape did
    /// not come from a table map.
    pub raw_table_map: Vec<u8>,
    /// Definition text (`SHOW CREATE TABLE`), where it was read.
    pub definition: Option<String>,
}

/// A numbered version of a table; immutable once a manifest introduces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVersion {
    /// The incarnation this is a version of.
    pub table_id: TableId,
    /// Counter of the table, from 1.
    pub version: u32,
    /// First entry that uses it.
    pub since: Seq,
    /// Name at that moment.
    pub name: TableName,
    /// Flavor of the source (row images differ in details).
    pub flavor: Flavor,
    /// Columns in table order with their field ids.
    pub columns: Vec<Column>,
    /// Row identity in key order; empty: rows are a multiset of whole rows.
    pub key: Vec<KeyPart>,
    /// Of a table without a key: rows are told apart by the columns that are not generated, for
    /// the source may not log the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_rows: bool,
    /// Highest field id ever used by the table, so that none is used twice.
    pub field_id_max: i32,
    /// Table map body without its table id, as logged; empty until one was seen.
    #[serde(with = "hex::serde", default)]
    pub raw_table_map: Vec<u8>,
    /// Definition text, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

impl TableVersion {
    /// The first version of a table first seen with `shape`.
    #[must_use]
    pub fn first(table_id: TableId, since: Seq, flavor: Flavor, shape: TableShape) -> TableVersion {
        let mut version = TableVersion {
            table_id,
            version: 0,
            since,
            name: shape.name.clone(),
            flavor,
            columns: Vec::new(),
            key: Vec::new(),
            given_rows: false,
            field_id_max: 0,
            raw_table_map: Vec::new(),
            definition: None,
        };
        version.apply(since, shape);
        version
    }

    /// The next version of the same table: columns keep the field id of the column of the same
    /// name, new names get new ids.
    #[must_use]
    pub fn next(&self, since: Seq, shape: TableShape) -> TableVersion {
        let mut next = self.clone();
        next.apply(since, shape);
        next
    }

    fn apply(&mut self, since: Seq, shape: TableShape) {
        let former = std::mem::take(&mut self.columns);
        for mut column in shape.columns {
            let same = former.iter().find(|c| c.name == column.name);
            column.field_id = match same {
                Some(same) => same.field_id,
                None => {
                    self.field_id_max += 1;
                    self.field_id_max
                }
            };
            // The binlog never says these two; what is known of the column stays known.
            if let Some(same) = same {
                column.generated = column.generated.or(same.generated);
            }
            if let Some(same) = same.filter(|c| c.wire_type == column.wire_type) {
                column.declared = column.declared.or_else(|| same.declared.clone());
            }
            column.stored = column.default_storage(self.flavor);
            self.columns.push(column);
        }
        self.version += 1;
        self.since = since;
        self.name = shape.name;
        self.key = shape.key;
        self.raw_table_map = shape.raw_table_map;
        self.definition = shape.definition.or(self.definition.take());
    }

    /// Whether a shape is this version's: same name, columns and key. A version that was read
    /// from `information_schema` and one that a table map describes are the same when they are
    /// equal here.
    #[must_use]
    pub fn has_shape(&self, shape: &TableShape) -> bool {
        self.name == shape.name
            && self.key == shape.key
            && self.columns.len() == shape.columns.len()
            && self
                .columns
                .iter()
                .zip(&shape.columns)
                .all(|(a, b)| a.same_shape(b))
    }

    /// The first column of which it is not known how long its cells are, see
    /// [`Column::is_of_unknown_length`].
    #[must_use]
    pub fn column_of_unknown_length(&self) -> Option<&Column> {
        let mut columns = self.columns.iter();
        columns.find(|column| column.is_of_unknown_length(self.flavor))
    }

    /// The next version of the same table after a statement that may have given old temporal
    /// columns another declared type, which no table map shows. `None` where it has none.
    #[must_use]
    pub fn in_doubt(&self, since: Seq) -> Option<TableVersion> {
        let mut next = self.clone();
        let mut is_other = false;
        for column in &mut next.columns {
            let declared = column.declared.take();
            match column.is_of_unknown_length(self.flavor) {
                true => is_other |= declared.is_some(),
                false => column.declared = declared,
            }
        }
        next.version += 1;
        next.since = since;
        is_other.then_some(next)
    }

    /// The column with a field id.
    #[must_use]
    pub fn column_by_field(&self, field_id: i32) -> Option<&Column> {
        self.columns.iter().find(|c| c.field_id == field_id)
    }

    /// `<table_id>.v<version>`, the stem of file names.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{}.v{}", self.table_id, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{StoredType, wire};

    fn column(name: &str, wire_type: u8) -> Column {
        Column {
            unsigned: true,
            labels: vec![b"\xe4".to_vec()],
            ..Column::plain(name, wire_type, 0)
        }
    }

    fn shape(columns: Vec<Column>) -> TableShape {
        TableShape {
            name: TableName::new("db", "t"),
            columns,
            key: vec![KeyPart {
                column: 0,
                prefix: 0,
            }],
            raw_table_map: vec![1, 2],
            definition: None,
        }
    }

    #[test]
    fn field_ids_follow_names_and_are_never_reused() {
        let id = TableId::allocate(1, Seq(1), 0);
        let both = || shape(vec![column("a", wire::LONG), column("b", wire::LONGLONG)]);
        let v1 = TableVersion::first(id, Seq(1), Flavor::MySql, both());
        assert_eq!(
            v1.columns[1].stored,
            StoredType::Decimal128 {
                precision: 20,
                scale: 0
            }
        );
        let dropped = v1.next(Seq(5), shape(vec![column("a", wire::LONG)]));
        let again = dropped.next(Seq(9), both());
        assert_eq!(again.columns[0].field_id, v1.columns[0].field_id);
        assert_eq!(again.columns[1].field_id, 3);
        assert_eq!(again.version, 3);
        assert!(!dropped.has_shape(&shape(vec![column("b", wire::LONG)])));
        let json = serde_json::to_string(&again).expect("json");
        assert_eq!(
            serde_json::from_str::<TableVersion>(&json).expect("back"),
            again
        );
    }
}

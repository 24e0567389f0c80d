//! Whether a statement may carry cells that the target computed anew into others.
//!
//! Such cells are not what the source had, and no later check could see what came of them: a
//! stored column that becomes an ordinary one keeps its values, a default may be computed from it,
//! a partition chosen by it is emptied. A statement is let through only where none of that can be.

use crate::restore::ddl::PlannedStatement;
use crate::schema::TableVersion;

/// Words of clauses that take rows away by the value of a column they need not name.
const BY_VALUE: [&str; 2] = ["PARTITION", "IGNORE"];

impl PlannedStatement {
    /// Whether the table at this place of the plan, with computed cells that are not as logged, is
    /// the only one that the statement touches, and these cells cannot become others.
    pub(super) fn leaves_computed_apart(&self, place: usize, version: &TableVersion) -> bool {
        self.touched().all(|touched| touched == place)
            && names_no_computed(&self.ddl.statement.text, version)
    }

    /// The tables, by their place in the plan, whose rows it reads or changes.
    pub(super) fn touched(&self) -> impl Iterator<Item = usize> {
        let loads = self.loads.iter().map(|(place, _)| *place);
        loads.chain(self.rereads.iter().map(|(place, _)| *place))
    }
}

/// Whether a text neither names a generated column nor takes rows away by one. Bytes are enough:
/// in every character set of a client, a name of ASCII letters stands between other ASCII bytes.
fn names_no_computed(text: &[u8], version: &TableVersion) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
    let mut generated = version
        .columns
        .iter()
        .enumerate()
        .filter(|(_, c)| c.generated.is_some());
    let may_be_named = |name: &str| {
        let plain = name.bytes().all(|b| is_word(b) && b.is_ascii());
        let same = |word: &[u8]| word.eq_ignore_ascii_case(name.as_bytes());
        !plain || text.split(|byte| !is_word(*byte)).any(same)
    };
    let is_key = |column: usize| {
        let mut key = version.key.iter();
        key.any(|part| usize::try_from(part.column) == Ok(column))
    };
    let takes = |word: &[u8]| {
        let starts = |clause: &str| {
            let start = word.get(..clause.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(clause.as_bytes())
        };
        BY_VALUE.into_iter().any(starts)
    };
    !generated.any(|(index, column)| is_key(index) || may_be_named(&column.name))
        && !text.split(|byte| !is_word(*byte)).any(takes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Flavor, Seq};
    use crate::schema::{
        Column, Generated, KeyPart, StoredType, TableId, TableName, TableShape, wire,
    };

    fn version(key: u32, stored: &str) -> TableVersion {
        let column = |name: &str| Column {
            generated: (name == stored).then_some(Generated::Stored),
            stored: StoredType::Int32,
            ..Column::plain(name, wire::LONG, 0)
        };
        let shape = TableShape {
            name: TableName::new("d", "t"),
            columns: ["id", stored].map(column).to_vec(),
            key: vec![KeyPart {
                column: key,
                prefix: 0,
            }],
            raw_table_map: Vec::new(),
            definition: None,
        };
        let id = TableId::allocate(0, Seq(0), 0);
        TableVersion::first(id, Seq(0), Flavor::MySql, shape)
    }

    #[test]
    fn only_statements_that_cannot_carry_cells_are_let_through() {
        let cases = [
            ("ALTER TABLE t ADD c CHAR(3) DEFAULT 'x'", true),
            ("ALTER TABLE t ADD INDEX (id), ALGORITHM=COPY", true),
            ("ALTER TABLE t MODIFY h INT", false),
            ("alter table t change`H`x int", false),
            ("ALTER TABLE t ADD c INT DEFAULT (h+1)", false),
            ("ALTER TABLE t DROP COLUMN/**/h", false),
            ("ALTER TABLE t TRUNCATE PARTITION p", false),
            ("ALTER TABLE t REMOVE partitioning", false),
            ("ALTER IGNORE TABLE t ADD UNIQUE (id)", false),
        ];
        for (text, expected) in cases {
            let found = names_no_computed(text.as_bytes(), &version(0, "h"));
            assert_eq!(found, expected, "{text}");
        }
        let add = b"ALTER TABLE t ADD c INT";
        assert!(!names_no_computed(add, &version(1, "h")), "in the key");
        for odd in ["two words", "\u{e4}"] {
            assert!(!names_no_computed(add, &version(0, odd)), "{odd}");
        }
    }
}

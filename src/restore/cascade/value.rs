//! Values of foreign keys, and when the engine takes two of them for the same.
//!
//! InnoDB compares a child's columns with the parent's by the type of the column: numbers and
//! dates by value, binary strings byte by byte, text by its collation. Collation weights are not
//! at hand here, so text is compared in two steps. Printable ASCII compares in the collations
//! listed below as its bytes do, case aside where the collation says so. Any other character may
//! equal something else: a value is then cut where the first of them stands, and what agrees with
//! another value up to there without being the same bytes is *unsure*. Unsure is refused by the
//! log, never guessed.

use super::definition::same;
use crate::change::CellSize;
use crate::schema::charset::{Charset, charset_of_collation, decode_to_utf8};
use crate::schema::{Column, wire};
use crate::segment::TablePlan;

/// How printable ASCII compares in a collation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    /// Every character by its code.
    Bytes,
    /// ASCII by its code, other characters unknown.
    Case,
    /// ASCII without case, other characters unknown.
    NoCase,
    /// Nothing is known.
    Unknown,
}

/// How the values of one column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By the bytes of the cell.
    Fixed {
        wire_type: u8,
        metadata: u16,
        unsigned: bool,
    },
    /// By bytes; `metadata` where the length is part of the type.
    Bytes { wire_type: u8, metadata: u16 },
    /// By collation.
    Text {
        wire_type: u8,
        collation: u16,
        charset: Charset,
        fold: Fold,
        pads: bool,
    },
}

/// One column of a foreign key, in the parent or in the child.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyColumn {
    /// Its index in the table.
    pub(super) index: usize,
    /// NULL is allowed.
    pub(super) nullable: bool,
    kind: Kind,
    size: CellSize,
}

impl KeyColumn {
    /// The column of that name; `None` where the table has none, or one whose values cannot be
    /// compared here (floating point, types that no foreign key can have).
    pub(super) fn find(plan: &TablePlan, name: &str) -> Option<KeyColumn> {
        let mut columns = plan.version().columns.iter();
        let index = columns.position(|c| same(&c.name, name))?;
        let column = plan.version().columns.get(index)?;
        Some(KeyColumn {
            index,
            nullable: column.nullable,
            kind: Kind::of(column)?,
            size: plan.layout().size(index)?,
        })
    }

    /// Whether values of both columns compare and pass from one to the other unchanged.
    pub(super) fn fits(&self, other: &KeyColumn) -> bool {
        self.kind == other.kind
    }

    /// Whether its cells are written and compared alike, wherever the column stands.
    pub(super) fn is_alike(&self, other: &KeyColumn) -> bool {
        self.kind == other.kind && self.size == other.size
    }

    /// Whether only its collation may tell that two of its values are the same.
    pub(super) fn may_be_unsure(&self) -> bool {
        matches!(self.kind, Kind::Text { fold, .. } if fold != Fold::Bytes)
    }

    /// The cell of this column with the value of a cell of `from`; `None` where it does not fit
    /// (the engine had refused it).
    pub(super) fn take(&self, from: &KeyColumn, cell: &[u8]) -> Option<Vec<u8>> {
        let CellSize::Prefixed(prefix) = self.size else {
            return Some(cell.to_vec());
        };
        let content = from.content(cell);
        let length = (content.len() as u32).to_le_bytes();
        let (head, rest) = length.split_at_checked(usize::from(prefix))?;
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        Some([head, content].concat())
    }

    fn content<'a>(&self, cell: &'a [u8]) -> &'a [u8] {
        match self.size {
            CellSize::Fixed(_) => cell,
            CellSize::Prefixed(prefix) => cell.get(usize::from(prefix)..).unwrap_or_default(),
        }
    }
}

impl Kind {
    fn of(column: &Column) -> Option<Kind> {
        let (wire_type, metadata) = (column.wire_type, column.metadata);
        match wire_type {
            wire::FLOAT | wire::DOUBLE => None,
            wire::VARCHAR | wire::STRING => {
                let collation = column.collation.unwrap_or(BINARY);
                if collation == BINARY {
                    // BINARY(n) is padded to its length; VARBINARY has the length of its value.
                    let fixed = wire_type == wire::STRING;
                    let metadata = if fixed { metadata } else { 0 };
                    return Some(Kind::Bytes {
                        wire_type,
                        metadata,
                    });
                }
                let (fold, pads) = rules(collation);
                Some(Kind::Text {
                    wire_type,
                    collation,
                    charset: charset_of_collation(collation)?,
                    fold,
                    pads,
                })
            }
            wire::VARCHAR_COMPRESSED
            | wire::BLOB_COMPRESSED
            | wire::TINY_BLOB
            | wire::MEDIUM_BLOB
            | wire::LONG_BLOB
            | wire::BLOB
            | wire::JSON
            | wire::GEOMETRY
            | wire::VECTOR => None,
            _ => Some(Kind::Fixed {
                wire_type,
                metadata,
                unsigned: column.unsigned,
            }),
        }
    }
}

const BINARY: u16 = 63;
/// Distance of a MariaDB NOPAD collation from its sibling.
const NOPAD: u16 = 1_024;

/// How a collation compares ASCII, and whether trailing spaces count for nothing.
fn rules(collation: u16) -> (Fold, bool) {
    let (sibling, pads) = match collation {
        // MySQL's UCA 9 and binary 0900 collations.
        255 | 305 => return (Fold::NoCase, false),
        278 => return (Fold::Case, false),
        309 => return (Fold::Bytes, false),
        // MariaDB's UCA 14 root collations: ai_ci, ai_cs, as_ci, as_cs; the same without PAD.
        2_048..2_056 | 2_304..2_312 => {
            let kind = collation % 8;
            let fold = if kind.is_multiple_of(2) {
                Fold::NoCase
            } else {
                Fold::Case
            };
            return (fold, kind < 4);
        }
        id if (NOPAD..2_048).contains(&id) => (id - NOPAD, false),
        id => (id, true),
    };
    let fold = match sibling {
        // latin1_swedish, ascii_general, utf8mb3_general, utf8mb4_general, then the Unicode and
        // Unicode 5.2 ones of utf8mb3 and utf8mb4.
        8 | 11 | 33 | 45 | 192 | 214 | 224 | 246 => Fold::NoCase,
        // latin1, utf8mb4, ascii and utf8mb3 _bin.
        46 | 47 | 65 | 83 => Fold::Bytes,
        _ => Fold::Unknown,
    };
    (fold, pads)
}

/// The value of a foreign key: equal bytes are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MatchKey {
    /// Parts, each self-delimiting.
    pub(super) bytes: Vec<u8>,
    /// Up to where `bytes` are sure: a value whose bytes agree so far may be the same.
    pub(super) sure: Option<usize>,
}

impl MatchKey {
    /// Of the cells of these columns; `None` when one is NULL: nothing is referred to then.
    pub(super) fn of<'a>(
        columns: &[KeyColumn],
        mut cell: impl FnMut(&KeyColumn) -> Option<&'a [u8]>,
    ) -> Option<MatchKey> {
        let mut key = MatchKey {
            bytes: Vec::new(),
            sure: None,
        };
        for column in columns {
            let content = column.content(cell(column)?);
            match column.kind {
                Kind::Fixed { .. } | Kind::Bytes { .. } => key.put(content),
                Kind::Text {
                    charset,
                    fold,
                    pads,
                    ..
                } => key.put_text(content, charset, (fold, pads)),
            }
        }
        Some(key)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes
            .extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    fn put_text(&mut self, content: &[u8], charset: Charset, (fold, pads): (Fold, bool)) {
        let text = decode_to_utf8(charset, content);
        let text = text.as_deref().map(|text| match pads {
            true => text.trim_end_matches(' '),
            false => text,
        });
        let plain = match (fold, text) {
            (Fold::Bytes, text) => return self.put(text.map_or(content, str::as_bytes)),
            (Fold::Unknown, _) | (_, None) => "",
            (_, Some(text)) => {
                let printable = |c: &char| matches!(c, ' '..='~');
                let end = text.chars().take_while(printable).count();
                text.get(..end).unwrap_or_default()
            }
        };
        let whole = fold != Fold::Unknown && text.is_some_and(|text| text.len() == plain.len());
        let plain = match (whole, pads) {
            (false, true) => plain.trim_end_matches(' '),
            _ => plain,
        };
        match fold {
            Fold::NoCase => self
                .bytes
                .extend(plain.bytes().map(|b| b.to_ascii_lowercase())),
            _ => self.bytes.extend_from_slice(plain.as_bytes()),
        }
        if whole {
            self.bytes.push(0);
            return;
        }
        self.sure.get_or_insert(self.bytes.len());
        self.bytes.push(0xff);
        self.put(text.map_or(content, str::as_bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a text in a collation.
    fn key(collation: u16, text: &[u8]) -> MatchKey {
        let (fold, pads) = rules(collation);
        let column = KeyColumn {
            index: 0,
            nullable: true,
            kind: Kind::Text {
                wire_type: wire::VARCHAR,
                collation,
                charset: charset_of_collation(collation).expect("charset"),
                fold,
                pads,
            },
            size: CellSize::Prefixed(1),
        };
        let cell = [&[text.len() as u8], text].concat();
        MatchKey::of(&[column], |_| Some(&cell)).expect("no NULL")
    }

    #[test]
    fn ascii_compares_as_the_collation_says() {
        let same = |collation, a: &str, b: &str| {
            key(collation, a.as_bytes()) == key(collation, b.as_bytes())
        };
        for (collation, case, pad) in [
            (45, true, true),
            (46, false, true),
            (255, true, false),
            (278, false, false),
            (309, false, false),
            (45 + NOPAD, true, false),
            (2_304, true, true),
            (2_305, false, true),
            (2_308, true, false),
            (8, true, true),
        ] {
            assert_eq!(same(collation, "aB", "Ab"), case, "{collation}");
            assert_eq!(same(collation, "a", "a "), pad, "{collation}");
            assert!(!same(collation, "a", "ab"), "{collation}");
            assert_eq!(key(collation, b"a b~").sure, None, "{collation}");
        }
    }

    #[test]
    fn other_characters_are_sure_up_to_the_first() {
        let odd = key(45, "Jos\u{e9}".as_bytes());
        let sure = odd.sure.expect("unsure");
        assert!(key(45, b"JOSE").bytes.starts_with(&odd.bytes[..sure]));
        assert!(!key(45, b"bob").bytes.starts_with(&odd.bytes[..sure]));
        assert_eq!(odd, key(45, "Jos\u{e9}  ".as_bytes()));
        assert_ne!(odd, key(45, "jos\u{e8}".as_bytes()));
        // Nothing is known of a language's collation, and nothing is unsure in a binary one.
        assert_eq!(key(225, b"abc").sure, Some(0));
        assert_eq!(key(46, "\u{e9}".as_bytes()).sure, None);
        // Not of its charset.
        assert_eq!(key(45, b"a\xff").sure, Some(0));
    }
}

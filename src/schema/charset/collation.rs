//! Collation ids of both flavors -> charset.
//!
//! From `information_schema.COLLATIONS` of MySQL 9.7.4 (286 ids) and MariaDB 10.11.19 (1,242
//! ids): no id means different charsets on the two. MariaDB's NOPAD collations are the id of
//! their PAD SPACE sibling plus 1,024; its UCA 14 collations stand in blocks of 256 from 2,048,
//! one block a charset.

use super::Charset::{self, *};

/// First and last id, charset; ascending.
#[rustfmt::skip]
const RANGES: &[(u16, u16, Charset)] = &[
    (1, 1, Big5), (2, 2, Latin2), (3, 3, Dec8), (4, 4, Cp850), (5, 5, Latin1), (6, 6, Hp8),
    (7, 7, Koi8r), (8, 8, Latin1), (9, 9, Latin2), (10, 10, Swe7), (11, 11, Ascii), (12, 12, Ujis),
    (13, 13, Sjis), (14, 14, Cp1251), (15, 15, Latin1), (16, 16, Hebrew), (18, 18, Tis620),
    (19, 19, Euckr), (20, 20, Latin7), (21, 21, Latin2), (22, 22, Koi8u), (23, 23, Cp1251),
    (24, 24, Gb2312), (25, 25, Greek), (26, 26, Cp1250), (27, 27, Latin2), (28, 28, Gbk),
    (29, 29, Cp1257), (30, 30, Latin5), (31, 31, Latin1), (32, 32, Armscii8), (33, 33, Utf8mb3),
    (34, 34, Cp1250), (35, 35, Ucs2), (36, 36, Cp866), (37, 37, Keybcs2), (38, 38, Macce),
    (39, 39, Macroman), (40, 40, Cp852), (41, 42, Latin7), (43, 43, Macce), (44, 44, Cp1250),
    (45, 46, Utf8mb4), (47, 49, Latin1), (50, 52, Cp1251), (53, 53, Macroman), (54, 55, Utf16),
    (56, 56, Utf16le), (57, 57, Cp1256), (58, 59, Cp1257), (60, 61, Utf32), (62, 62, Utf16le),
    (63, 63, Binary), (64, 64, Armscii8), (65, 65, Ascii), (66, 66, Cp1250), (67, 67, Cp1256),
    (68, 68, Cp866), (69, 69, Dec8), (70, 70, Greek), (71, 71, Hebrew), (72, 72, Hp8),
    (73, 73, Keybcs2), (74, 74, Koi8r), (75, 75, Koi8u), (76, 76, Utf8mb3), (77, 77, Latin2),
    (78, 78, Latin5), (79, 79, Latin7), (80, 80, Cp850), (81, 81, Cp852), (82, 82, Swe7),
    (83, 83, Utf8mb3), (84, 84, Big5), (85, 85, Euckr), (86, 86, Gb2312), (87, 87, Gbk),
    (88, 88, Sjis), (89, 89, Tis620), (90, 90, Ucs2), (91, 91, Ujis), (92, 93, Geostd8),
    (94, 94, Latin1), (95, 96, Cp932), (97, 98, Eucjpms), (99, 99, Cp1250), (101, 124, Utf16),
    (128, 151, Ucs2), (159, 159, Ucs2), (160, 183, Utf32), (192, 215, Utf8mb3), (223, 223, Utf8mb3),
    (224, 247, Utf8mb4), (248, 250, Gb18030), (255, 271, Utf8mb4), (273, 275, Utf8mb4),
    (277, 294, Utf8mb4), (296, 298, Utf8mb4), (300, 300, Utf8mb4), (303, 323, Utf8mb4),
    (576, 578, Utf8mb3), (608, 610, Utf8mb4), (640, 642, Ucs2), (672, 674, Utf16),
    (736, 738, Utf32),
];

/// Distance of a NOPAD collation from its sibling.
const NOPAD: u16 = 1_024;

/// First UCA 14 id, and the charsets of its blocks of 256.
const UCA14: u16 = 2_048;
const UCA14_CHARSETS: [Charset; 5] = [Utf8mb3, Utf8mb4, Ucs2, Utf16, Utf32];

/// The charset of a collation id, `None` for ids neither flavor is known to use.
#[must_use]
pub fn charset_of_collation(id: u16) -> Option<Charset> {
    if id >= UCA14 {
        let block = (id - UCA14) / 256;
        return UCA14_CHARSETS.get(usize::from(block)).copied();
    }
    let id = if id > NOPAD { id - NOPAD } else { id };
    let index = RANGES.partition_point(|&(_, last, _)| last < id);
    let &(first, _, charset) = RANGES.get(index)?;
    (first <= id).then_some(charset)
}

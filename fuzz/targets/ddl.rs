//! Any bytes as a statement of the binlog, in any session.
//!
//! Input: choices (bit 1: ANSI_QUOTES, bit 2: NO_BACKSLASH_ESCAPES, then the client's charset),
//! then the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidelog::schema::ddl::{
    SQL_MODE_ANSI_QUOTES, SQL_MODE_NO_BACKSLASH_ESCAPES, StatementClass, StatementContext, classify,
};
use tidelog_fuzz::choices;

/// utf8mb4, latin1, gbk, big5, sjis, cp932, gb18030, euckr and none.
const COLLATIONS: [Option<u16>; 9] =
    [Some(45), Some(8), Some(28), Some(1), Some(13), Some(95), Some(248), Some(19), None];

fuzz_target!(|data: &[u8]| {
    let Some((choices, text)) = choices(data) else {
        return;
    };
    let mode = |bit, value| if choices.bit(bit) { value } else { 0 };
    let context = StatementContext {
        flavor: choices.flavor(),
        default_db: b"db",
        collation: COLLATIONS[usize::from(choices.above(3)) % COLLATIONS.len()],
        sql_mode: mode(1, SQL_MODE_ANSI_QUOTES) | mode(2, SQL_MODE_NO_BACKSLASH_ESCAPES),
    };
    let class = classify(text, &context);
    if let StatementClass::Ddl { effects } = &class {
        assert!(!effects.is_empty(), "DDL without an effect is no DDL");
        for name in effects.iter().flat_map(|effect| effect.tables()) {
            assert!(!name.db.is_empty() && !name.table.is_empty(), "{effects:?}");
        }
    }
    assert_eq!(classify(text, &context), class);
});

//! Any bytes as the body of a table map; what is understood is written and read again.
//!
//! Input: choices, then the body without its table id.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidelog::binlog::{build_table_map, parse_table_map};
use tidelog_fuzz::choices;

fuzz_target!(|data: &[u8]| {
    let Some((choices, raw)) = choices(data) else {
        return;
    };
    let Ok(map) = parse_table_map(choices.flavor(), raw) else {
        return;
    };
    let Ok(built) = build_table_map(&map.shape.name, &map.shape.columns) else {
        return;
    };
    let again = parse_table_map(choices.flavor(), &built).expect("a made table map is read");
    assert_eq!(again.shape.name, map.shape.name);
    assert_eq!(again.shape.columns.len(), map.shape.columns.len());
    for (a, b) in again.shape.columns.iter().zip(&map.shape.columns) {
        assert_eq!((a.wire_type, a.metadata, a.nullable), (b.wire_type, b.metadata, b.nullable));
    }
});

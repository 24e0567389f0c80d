//! Any text as JSON: what parses is printed and parsed to the same document; a list of value types
//! belongs to its text or is refused.
//!
//! Input: text, then after the last zero byte a list of types.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidelog::change::json;

fuzz_target!(|data: &[u8]| {
    let Ok(both) = std::str::from_utf8(data) else {
        return;
    };
    let (text, types) = both.rsplit_once('\0').unwrap_or((both, "[null,null,null]"));
    if let Ok(tree) = json::from_text_with_types(text, types) {
        let image = json::encode(&tree).expect("a typed document can be encoded");
        assert_eq!(json::decode(&image).expect("decode"), tree);
    }
    let Ok(tree) = json::from_text(text) else {
        return;
    };
    let image = json::encode(&tree).expect("a parsed document can be encoded");
    assert_eq!(json::decode(&image).expect("decode"), tree);
    assert!(json::is_exact(&image), "{text}");
    assert_eq!(json::from_text(&json::to_text(&tree)).expect("parse again"), tree);
});

//! Any bytes as a document of MySQL's binary JSON.
//!
//! What decodes must encode to the same tree; text alone is trusted exactly where it leads back
//! to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidelog::change::json::{self, JsonKeys};

fuzz_target!(|image: &[u8]| {
    let (mut text, mut keys) = (String::new(), JsonKeys::default());
    let exact = json::text_if_exact(image, &mut text, &mut keys);
    // Keys that are known already change nothing.
    let mut again = String::new();
    assert_eq!(json::text_if_exact(image, &mut again, &mut keys), exact);
    assert_eq!(again, text);
    let Ok(tree) = json::decode(image) else {
        assert!(!exact, "only a document has a text");
        return;
    };
    let encoded = json::encode(&tree).expect("what was decoded can be encoded");
    assert_eq!(json::decode(&encoded).expect("decode again"), tree);
    let printed = json::to_text(&tree);
    let back = json::from_text(&printed).ok().and_then(|t| json::encode(&t).ok());
    assert_eq!(exact, back.as_deref() == Some(image), "{printed}");
    if exact {
        assert_eq!(text, printed);
    }
    let canonical = json::canonical(image).expect("a canonical form");
    assert_eq!(json::canonical(&canonical).expect("again"), canonical);
});

//! A row of any table, whole or lacking cells: row -> typed columns -> row is byte for byte the same.
//!
//! Input: choices, the length of the table map (2 bytes, little endian), the table map, the image.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tidelog::binlog::parse_table_map;
use tidelog::change::Op;
use tidelog::position::Seq;
use tidelog::schema::{TableId, TableVersion};
use tidelog::segment::{
    BatchView, CanonicalRow, Canonicalizer, ChangeBuilder, ChangeRow, ImageEncoder, KeyCodec, TablePlan,
};
use tidelog_fuzz::choices;

const ROW: ChangeRow = ChangeRow {
    op: Op::Insert,
    seq: Seq::FIRST,
    row: 0,
    event: 0,
    flags: 1,
    commit_time_us: 0,
};

fuzz_target!(|data: &[u8]| {
    let Some((choices, rest)) = choices(data) else {
        return;
    };
    let Some((length, rest)) = rest.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length));
    let Some((map, image)) = rest.split_at_checked(length) else {
        return;
    };
    let flavor = choices.flavor();
    let Ok(map) = parse_table_map(flavor, map) else {
        return;
    };
    let shape = (*map.shape).clone();
    let id = TableId::allocate(1, Seq::FIRST, 0);
    let version = TableVersion::first(id, Seq::FIRST, flavor, shape);
    // A vector of any dimension is a builder of that size for every row.
    if version.columns.iter().any(|c| c.vector_dimension.is_some_and(|d| d > 16_383)) {
        return;
    }
    let Ok(plan) = TablePlan::compile(Arc::new(version)) else {
        return;
    };
    let plan = Arc::new(plan);
    let mut cells = Vec::new();
    let Ok(length) = plan.layout().split(image, &mut cells) else {
        assert!(plan.layout().measure(image).is_err());
        return;
    };
    assert_eq!(plan.layout().measure(image).ok(), Some(length));
    // Either a row that lacks cells, or an image with something behind it.
    let image = match plan.layout().split_row(image, &mut cells) {
        Ok(_) => image,
        Err(_) => &image[..length],
    };
    let mut builder = ChangeBuilder::new(Arc::clone(&plan), 1);
    builder.append(image, &ROW).expect("a whole image is taken");
    let batch = builder.finish().expect("a batch");
    let view = BatchView::new(&plan, &batch).expect("a view");
    let mut again = Vec::new();
    ImageEncoder::new(Arc::clone(&plan)).image(&view, 0, &mut again).expect("an image");
    assert_eq!(again, image, "{:?}", plan.version().columns);
    let mut room = CanonicalRow::default();
    let canonicalizer = Canonicalizer::new(Arc::clone(&plan));
    let hash = canonicalizer.hash(image, &cells, &mut room).expect("a hash");
    assert_eq!(canonicalizer.hash(&again, &cells, &mut room).ok(), Some(hash));
    let mut out = Vec::new();
    let _ = KeyCodec::new(plan).encode_image(image, &cells, &mut out);
});

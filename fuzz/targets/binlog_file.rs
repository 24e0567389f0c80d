//! Any bytes as a binlog file: events, transactions and the row images in them.
//!
//! Input: choices (bit 1: repair lengths, positions and checksums first; the rest: how many bytes
//! are fed at once), then the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::{ImageLayout, LogItem, RowsKind};
use tidelog::position::BinlogPosition;
use tidelog_fuzz::{choices, repaired};

/// Steps of a compressed transaction that are taken; each inflates 8 MiB.
const STEPS_MAX: usize = 4;

fuzz_target!(|data: &[u8]| {
    let Some((choices, file)) = choices(data) else {
        return;
    };
    let file = match choices.bit(1) {
        true => repaired(file),
        false => file.to_vec(),
    };
    let mut reader = FileReader::new();
    let mut assembler = Assembler::new(choices.flavor(), Some(BinlogPosition::new("b.1", 4)));
    let mut items = Vec::new();
    for chunk in file.chunks(1 + usize::from(choices.above(2)) * 97) {
        reader.feed(chunk);
        loop {
            let Ok(event) = reader.next_event() else {
                return;
            };
            let Some(event) = event else { break };
            let end = assembler.position().map_or(0, |p| p.offset) + event.len() as u64;
            if assembler.push(event, &mut items).is_err() {
                assert!(assembler.push(Default::default(), &mut items).is_err());
                return;
            }
            assert!(assembler.position().is_none_or(|p| p.offset <= end || p.file != "b.1"));
            for _ in 0..STEPS_MAX {
                items.drain(..).for_each(|item| look_at(&item));
                match assembler.more(&mut items) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => return,
                }
            }
            if matches!(assembler.more(&mut items), Ok(true) | Err(_)) {
                return;
            }
        }
    }
    let _ = reader.finish(true);
});

fn look_at(item: &LogItem) {
    let LogItem::Rows(rows) = item else { return };
    let mut images = rows.event.get(rows.images.clone()).expect("images are in their event");
    let Ok(layout) = ImageLayout::new(&rows.shape.columns) else {
        return;
    };
    let mut count = 0_u32;
    while let Ok(length) = layout.measure(images) {
        if length == 0 || rows.kind == RowsKind::Update && count > 1_000 {
            break;
        }
        images = &images[length..];
        count += 1;
    }
}

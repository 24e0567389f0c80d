//! Any bytes as a stored object of a repository: manifests, headers, catalogue, raw events, lists.
//!
//! Input: choices (bits 0 to 2: which object, bit 3: give it a right frame), then the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fmt::Debug;
use tidelog::manifest::{
    BaseManifest, Catalogue, Document, RepoHeader, SegmentManifest, Timeline, WriterEpoch,
};
use tidelog::error::Result;
use tidelog::segment::{EventContent, RawReader, rebuild_events};
use tidelog_fuzz::{choices, framed};

fuzz_target!(|data: &[u8]| {
    let Some((choices, bytes)) = choices(data) else {
        return;
    };
    let bytes = match choices.bit(3) {
        true => framed(bytes),
        false => bytes.to_vec(),
    };
    match data[0] & 7 {
        0 => same::<RepoHeader>(&bytes),
        1 => same::<Timeline>(&bytes),
        2 => same::<WriterEpoch>(&bytes),
        3 => same::<SegmentManifest>(&bytes),
        4 => same::<BaseManifest>(&bytes),
        5 => {
            let _ = Catalogue::decode("x", &bytes);
        }
        _ => {
            let records = RawReader::new(&bytes).filter(Result::is_ok).count();
            assert!(records <= bytes.len());
            let _ = rebuild_events(&bytes, &mut Filler);
        }
    }
});

fn same<T: Document + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode("x", bytes) else {
        return;
    };
    let written = value.encode().expect("what was read can be written");
    assert_eq!(T::decode("x", &written).expect("read again"), value);
}

/// One byte in place of everything that was cut.
struct Filler;

impl EventContent for Filler {
    fn images(&mut self, _: i32, out: &mut Vec<u8>) -> Result<()> {
        out.push(0);
        Ok(())
    }

    fn text(&mut self, _: u32, out: &mut Vec<u8>) -> Result<()> {
        out.push(0);
        Ok(())
    }
}

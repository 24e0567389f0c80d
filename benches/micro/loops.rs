//! The loops, each over all rows of its input.

use super::input::{ROWS, Table, change, messages, one_of_each};
use arrow_array::RecordBatch;
use std::hint::black_box;
use std::sync::Arc;
use tidelog::base::fold::{Identity, Keys, Run, RunBatch, Step, fold};
use tidelog::segment::{
    BatchView, ChangeBuilder, FileKind, FileOptions, ImageEncoder, KeyCodec, ReadOptions, RowOrder,
    TableFileReader, TableFileWriter,
};

/// Runs that are folded, each with all keys.
const RUNS: u64 = 4;
/// Bytes that are checked; each counts as a row.
const CRC_BYTES: usize = 1 << 20;

/// A loop with the rows that it goes over.
pub(crate) struct Loop {
    /// `group/what`.
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) run: Box<dyn FnMut()>,
}

impl Loop {
    fn new(name: impl Into<String>, rows: u64, run: impl FnMut() + 'static) -> Loop {
        Loop {
            name: name.into(),
            rows,
            run: Box::new(run),
        }
    }

    pub(crate) fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

/// All loops.
pub(crate) fn all() -> Vec<Loop> {
    let mut all: Vec<Loop> = one_of_each()
        .into_iter()
        .map(|(name, table)| decode(&format!("decode/{name}"), table))
        .collect();
    all.push(decode("decode/messages", messages(|n| n)));
    all.extend(parquet());
    all.push(crc32());
    all.push(folded());
    all
}

/// Row images into Arrow columns.
fn decode(name: &str, table: Table) -> Loop {
    let mut builder = ChangeBuilder::new(Arc::clone(&table.plan), table.images.len());
    Loop::new(name, ROWS, move || {
        black_box(batch(&mut builder, &table));
    })
}

fn batch(builder: &mut ChangeBuilder, table: &Table) -> RecordBatch {
    for (image, n) in table.images.iter().zip(0..) {
        builder.append(image, &change(n)).expect("a row");
    }
    builder.finish().expect("a batch")
}

/// Arrow to Parquet and back, and back to row images and keys.
fn parquet() -> [Loop; 4] {
    let table = messages(|n| n);
    let plan = Arc::clone(&table.plan);
    let mut builder = ChangeBuilder::new(Arc::clone(&plan), table.images.len());
    let batch = batch(&mut builder, &table);
    let write = {
        let plan = Arc::clone(&plan);
        move |batch: &RecordBatch| {
            let options = FileOptions::new(FileKind::Change, RowOrder::Sorted, true);
            let mut writer = TableFileWriter::new(Arc::clone(&plan), options).expect("a writer");
            writer.write(batch).expect("rows");
            writer.finish().expect("a file").bytes
        }
    };
    let file = write(&batch);
    let encode = {
        let batch = batch.clone();
        Loop::new("encode/Parquet", ROWS, move || {
            black_box(write(&batch));
        })
    };
    let read = {
        let plan = Arc::clone(&plan);
        Loop::new("read/Parquet", ROWS, move || {
            let reader = TableFileReader::open(file.clone(), Arc::clone(&plan), FileKind::Change);
            let batches = reader.expect("a file").read(&ReadOptions::default());
            for batch in batches.expect("batches") {
                black_box(batch.expect("a batch"));
            }
        })
    };
    let images = {
        let (plan, batch) = (Arc::clone(&plan), batch.clone());
        let (encoder, mut image) = (ImageEncoder::new(Arc::clone(&plan)), Vec::new());
        Loop::new("encode/images", ROWS, move || {
            let view = BatchView::new(&plan, &batch).expect("a view");
            for row in 0..view.rows() {
                image.clear();
                encoder.image(&view, row, &mut image).expect("an image");
                black_box(&image);
            }
        })
    };
    let keys = {
        let (codec, mut key) = (KeyCodec::new(Arc::clone(&plan)), Vec::new());
        Loop::new("encode/keys", ROWS, move || {
            let view = BatchView::new(&plan, &batch).expect("a view");
            for row in 0..view.rows() {
                key.clear();
                codec.encode_batch(&view, row, &mut key).expect("a key");
                black_box(&key);
            }
        })
    };
    [encode, read, images, keys]
}

/// The checksum of events, as the reader of binlogs computes it.
fn crc32() -> Loop {
    let bytes: Vec<u8> = (0..CRC_BYTES).map(|n| (n * 7 % 251) as u8).collect();
    Loop::new("crc32/bytes", CRC_BYTES as u64, move || {
        black_box(crc32fast::hash(black_box(&bytes)));
    })
}

/// Runs of all keys, merged; the last one counts.
fn folded() -> Loop {
    let run = |number: u64| {
        let mut keys = Keys::default();
        for n in 0..ROWS {
            keys.push(&n.to_be_bytes());
        }
        let count = ROWS as usize;
        let step = match number {
            0 => Step::APPEAR,
            // An update of a row that is there.
            _ => Step::VANISH.then(Step::APPEAR),
        };
        RunBatch {
            keys,
            seqs: vec![number as i64 + 1; count],
            rows: vec![0; count],
            steps: vec![step; count],
            payload: (),
        }
    };
    let batches: Vec<RunBatch<()>> = (0..RUNS).map(run).collect();
    Loop::new("fold/entries", ROWS * RUNS, move || {
        let runs = batches.iter().cloned();
        let runs = runs.map(|batch| Run::whole(std::iter::once(Ok(batch))));
        let mut left = 0;
        fold(Identity::Key, runs.collect(), |row| {
            left += row.copies;
            Ok(())
        })
        .expect("a history");
        assert_eq!(left, ROWS, "rows left");
    })
}

//! The loops, each over all rows of its input.

use super::binlog;
use super::input::{ROWS, Table, change, messages, one_of, types};
use arrow_array::RecordBatch;
use bytes::Bytes;
use std::hint::black_box;
use std::sync::Arc;
use tidelog::base::fold::{Identity, Keys, Run, RunBatch, Step, fold};
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::LogItem;
use tidelog::position::{BinlogPosition, Flavor};
use tidelog::segment::{
    BLOCK_ROWS, BatchView, ChangeBuilder, ChangeRow, FileKind, FileOptions, ImageEncoder, KeyCodec,
    ReadOptions, RowOrder, TableFileReader, TableFileWriter, TablePlan,
};

/// Runs that are folded, each with all keys.
const RUNS: u64 = 4;
/// Bytes that are checked; each counts as a row.
const CRC_BYTES: usize = 1 << 20;

/// One round of a loop, its input at hand.
pub(crate) type Round = Box<dyn FnMut()>;

/// A loop with the rows that it goes over.
pub(crate) struct Loop {
    /// `group/what`.
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// Makes its input.
    pub(crate) prepare: Box<dyn FnOnce() -> Round>,
}

impl Loop {
    fn new(name: impl Into<String>, rows: u64, prepare: impl FnOnce() -> Round + 'static) -> Loop {
        Loop {
            name: name.into(),
            rows,
            prepare: Box::new(prepare),
        }
    }

    pub(crate) fn group(&self) -> String {
        self.name.split('/').next().unwrap_or_default().to_owned()
    }
}

/// All loops.
pub(crate) fn all() -> Vec<Loop> {
    let of_type = |name: String| {
        let loop_name = format!("decode/{name}");
        Loop::new(loop_name, ROWS, move || decode(one_of(&name)))
    };
    let mut all: Vec<Loop> = types().into_iter().map(of_type).collect();
    all.extend([
        Loop::new("decode/messages", ROWS, || decode(messages())),
        Loop::new("decode/transactions", ROWS, assemble),
        Loop::new("encode/Parquet", ROWS, encode),
        Loop::new("read/Parquet", ROWS, read),
        Loop::new("encode/images", ROWS, images),
        Loop::new("encode/keys", ROWS, keys),
        Loop::new("crc32/bytes", CRC_BYTES as u64, crc32),
        Loop::new("fold/entries", ROWS * RUNS, folded),
    ]);
    all
}

/// Row images into Arrow columns.
fn decode(table: Table) -> Round {
    let mut builder = ChangeBuilder::new(Arc::clone(&table.plan), table.images.len());
    Box::new(move || {
        black_box(batch(&mut builder, &table));
    })
}

/// A binlog file into the items of its transactions, which update one row each.
fn assemble() -> Round {
    let file = binlog::file(ROWS);
    let mut items = Vec::new();
    Box::new(move || {
        let start = BinlogPosition::new("binlog.000001", 4);
        let mut assembler = Assembler::new(Flavor::MySql, Some(start));
        let (mut reader, mut rows) = (FileReader::new(), 0);
        for bytes in file.chunks(256 << 10) {
            reader.feed(bytes);
            while let Some(event) = reader.next_event().expect("an event") {
                assembler.push(event, &mut items).expect("a sound event");
            }
            let is_rows = |item: &&LogItem| matches!(item, LogItem::Rows(_));
            rows += black_box(&items).iter().filter(is_rows).count() as u64;
            items.clear();
        }
        assert_eq!(rows, ROWS, "rows events");
    })
}

fn batch(builder: &mut ChangeBuilder, table: &Table) -> RecordBatch {
    for (images, first) in table
        .images
        .chunks(BLOCK_ROWS)
        .zip((0..).step_by(BLOCK_ROWS))
    {
        let rows: Vec<ChangeRow> = (first..).take(images.len()).map(change).collect();
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        builder.append_block(&images, &rows).expect("rows");
    }
    builder.finish().expect("a batch")
}

/// Messages as one batch.
fn message_batch() -> (Arc<TablePlan>, RecordBatch) {
    let table = messages();
    let plan = Arc::clone(&table.plan);
    let mut builder = ChangeBuilder::new(Arc::clone(&plan), table.images.len());
    let batch = batch(&mut builder, &table);
    (plan, batch)
}

fn write(plan: &Arc<TablePlan>, batch: &RecordBatch) -> Bytes {
    let options = FileOptions::new(FileKind::Change, RowOrder::Sorted, true);
    let mut writer = TableFileWriter::new(Arc::clone(plan), options).expect("a writer");
    writer.write(batch).expect("rows");
    writer.finish().expect("a file").bytes
}

/// A batch into a whole Parquet file.
fn encode() -> Round {
    let (plan, batch) = message_batch();
    Box::new(move || {
        black_box(write(&plan, &batch));
    })
}

/// The file into batches.
fn read() -> Round {
    let (plan, batch) = message_batch();
    let file = write(&plan, &batch);
    Box::new(move || {
        let reader = TableFileReader::open(file.clone(), Arc::clone(&plan), FileKind::Change);
        let batches = reader.expect("a file").read(&ReadOptions::default());
        for batch in batches.expect("batches") {
            black_box(batch.expect("a batch"));
        }
    })
}

/// A batch back into row images.
fn images() -> Round {
    let (plan, batch) = message_batch();
    let (encoder, mut image) = (ImageEncoder::new(Arc::clone(&plan)), Vec::new());
    Box::new(move || {
        let view = BatchView::new(&plan, &batch).expect("a view");
        for row in 0..view.rows() {
            image.clear();
            encoder.image(&view, row, &mut image).expect("an image");
            black_box(&image);
        }
    })
}

/// The keys of a batch.
fn keys() -> Round {
    let (plan, batch) = message_batch();
    let (codec, mut key) = (KeyCodec::new(Arc::clone(&plan)), Vec::new());
    Box::new(move || {
        let view = BatchView::new(&plan, &batch).expect("a view");
        for row in 0..view.rows() {
            key.clear();
            codec.encode_batch(&view, row, &mut key).expect("a key");
            black_box(&key);
        }
    })
}

/// The checksum of events, as the reader of binlogs computes it.
fn crc32() -> Round {
    let bytes: Vec<u8> = (0..CRC_BYTES).map(|n| (n * 7 % 251) as u8).collect();
    Box::new(move || {
        black_box(crc32fast::hash(black_box(&bytes)));
    })
}

/// Runs of all keys, merged; the last one counts.
fn folded() -> Round {
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
    Box::new(move || {
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

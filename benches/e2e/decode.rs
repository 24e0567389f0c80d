//! Decoders alone, over binlog files on disk: ours and two others.

use bytes::Bytes;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::{LogItem, Op, RowsEvent, RowsKind};
use tidelog::manifest::Catalogue;
use tidelog::position::{BinlogPosition, Flavor, Seq};
use tidelog::schema::TableVersion;
use tidelog::segment::{BLOCK_ROWS, ChangeBuilder, ChangeRow, TablePlan};

/// Rows of a batch; also a batch of capture.
const BATCH_ROWS: usize = 8_192;
/// Bytes read from a file at once.
const READ_BYTES: usize = 256 << 10;
/// Bytes of row images of a batch.
const BATCH_BYTES: usize = 8 << 20;

/// mysql_cdc: every row decoded, values dropped. Gives the number of images.
pub(crate) fn mysql_cdc(files: &[PathBuf]) -> Result<u64, String> {
    use mysql_cdc::binlog_reader::BinlogReader;
    use mysql_cdc::events::binlog_event::BinlogEvent;
    let mut images = 0;
    for path in files {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let reader = BinlogReader::new(file).map_err(|e| format!("{e:?}"))?;
        for event in reader.read_events() {
            images += match event.map_err(|e| format!("{e:?}"))?.1 {
                BinlogEvent::WriteRowsEvent(event) => event.rows.len() as u64,
                BinlogEvent::UpdateRowsEvent(event) => 2 * event.rows.len() as u64,
                BinlogEvent::DeleteRowsEvent(event) => event.rows.len() as u64,
                _ => 0,
            };
        }
    }
    Ok(images)
}

/// mysql_common: the same.
pub(crate) fn mysql_common(files: &[PathBuf]) -> Result<u64, String> {
    use mysql_common::binlog::consts::BinlogVersion;
    use mysql_common::binlog::{BinlogFile, events::EventData};
    let mut images = 0;
    for path in files {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let input = BufReader::with_capacity(READ_BYTES, file);
        let mut file =
            BinlogFile::new(BinlogVersion::Version4, input).map_err(|e| e.to_string())?;
        while let Some(event) = file.next() {
            let event = event.map_err(|e| e.to_string())?;
            let Some(EventData::RowsEvent(rows)) = event.read_data().map_err(|e| e.to_string())?
            else {
                continue;
            };
            let map = file.reader().get_tme(rows.table_id());
            let map = map.ok_or("a rows event without its table map")?;
            for row in rows.rows(map) {
                let (before, after) = row.map_err(|e| e.to_string())?;
                images += u64::from(before.is_some()) + u64::from(after.is_some());
            }
        }
    }
    Ok(images)
}

/// Ours: checksums, transactions, images into Arrow columns. Gives the number of images.
pub(crate) fn tidelog(flavor: Flavor, files: &[PathBuf]) -> u64 {
    let mut decoder = Decoder::new(flavor);
    let mut chunk = vec![0; READ_BYTES];
    for path in files {
        let mut file = File::open(path).expect("a binlog file");
        let name = path.file_name().expect("a name").to_string_lossy();
        let start = BinlogPosition::new(name, 4);
        let mut assembler = Assembler::new(flavor, Some(start));
        let (mut reader, mut items) = (FileReader::new(), Vec::new());
        loop {
            let read = file.read(&mut chunk).expect("a binlog file");
            if read == 0 {
                break;
            }
            reader.feed(&chunk[..read]);
            while let Some(event) = reader.next_event().expect("an event") {
                assembler.push(event, &mut items).expect("a sound event");
                for item in &items {
                    if let LogItem::Rows(event) = item {
                        decoder.rows(event);
                    }
                }
                items.clear();
            }
        }
    }
    decoder.finish();
    decoder.images
}

struct Decoder {
    catalogue: Catalogue,
    tables: Vec<Table>,
    images: u64,
}

impl Decoder {
    fn new(flavor: Flavor) -> Decoder {
        Decoder {
            catalogue: Catalogue::empty(1, flavor),
            tables: Vec::new(),
            images: 0,
        }
    }

    fn rows(&mut self, event: &RowsEvent) {
        let version = self.catalogue.observe(&event.shape, Seq(1));
        let mut tables = self.tables.iter();
        let at = tables.position(|table| Arc::ptr_eq(table.plan.version(), &version));
        let at = at.unwrap_or_else(|| {
            self.tables.push(Table::new(version));
            self.tables.len() - 1
        });
        self.images += self.tables[at].take(event);
    }

    fn finish(&mut self) {
        self.tables.iter_mut().for_each(Table::flush);
    }
}

/// A table's images on their way into columns, in blocks over all events, as capture decodes them.
struct Table {
    plan: Arc<TablePlan>,
    builder: ChangeBuilder,
    /// Events that have images of the block.
    events: Vec<Bytes>,
    /// Of each image, its event and its place there.
    images: Vec<(usize, Range<usize>)>,
    rows: Vec<ChangeRow>,
}

impl Table {
    fn new(version: Arc<TableVersion>) -> Table {
        let plan = Arc::new(TablePlan::compile(version).expect("a plan"));
        Table {
            builder: ChangeBuilder::new(Arc::clone(&plan), BATCH_ROWS),
            plan,
            events: Vec::new(),
            images: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Takes the images of an event; gives their number.
    fn take(&mut self, event: &RowsEvent) -> u64 {
        let mut row = ChangeRow {
            op: Op::Insert,
            seq: Seq(1),
            row: 0,
            event: 0,
            flags: event.flags,
            commit_time_us: 0,
        };
        let (mut at, mut images) = (event.images.start, 0);
        while at < event.images.end {
            row.op = match (event.kind, row.op) {
                (RowsKind::Write, _) => Op::Insert,
                (RowsKind::Update, Op::UpdateBefore) => Op::UpdateAfter,
                (RowsKind::Update, _) => Op::UpdateBefore,
                (RowsKind::Delete, _) => Op::Delete,
            };
            let rest = &event.event[at..event.images.end];
            let length = self.plan.layout().measure(rest).expect("an image");
            if self.images.is_empty() || images == 0 {
                self.events.push(event.event.clone());
            }
            let end = at + length;
            self.images.push((self.events.len() - 1, at..end));
            self.rows.push(row);
            at = end;
            images += 1;
            if self.images.len() == BLOCK_ROWS {
                self.flush();
            }
        }
        images
    }

    fn flush(&mut self) {
        let images = self.images.drain(..);
        let images: Vec<&[u8]> = images.map(|(event, at)| &self.events[event][at]).collect();
        self.builder
            .append_block(&images, &self.rows)
            .expect("rows");
        self.events.clear();
        self.rows.clear();
        if self.builder.len() >= BATCH_ROWS || self.builder.bytes() >= BATCH_BYTES {
            drop(self.builder.finish().expect("a batch"));
        }
    }
}

//! Decoders alone, over binlog files on disk: ours and two others.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::{LogItem, Op, RowsEvent, RowsKind};
use tidelog::manifest::Catalogue;
use tidelog::position::{BinlogPosition, Flavor, Seq};
use tidelog::segment::{BLOCK_ROWS, ChangeBuilder, ChangeRow, TablePlan};

/// Rows of a batch; also a batch of capture.
const BATCH_ROWS: usize = 8_192;
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
        let input = BufReader::with_capacity(1 << 20, file);
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
    let mut chunk = vec![0; 1 << 20];
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
                for item in items.drain(..) {
                    if let LogItem::Rows(event) = item {
                        decoder.rows(&event);
                    }
                }
            }
        }
    }
    decoder.images
}

struct Decoder {
    catalogue: Catalogue,
    builders: Vec<(Arc<TablePlan>, ChangeBuilder)>,
    images: u64,
}

impl Decoder {
    fn new(flavor: Flavor) -> Decoder {
        Decoder {
            catalogue: Catalogue::empty(1, flavor),
            builders: Vec::new(),
            images: 0,
        }
    }

    fn rows(&mut self, event: &RowsEvent) {
        let version = self.catalogue.observe(&event.shape, Seq(1));
        let mut plans = self.builders.iter();
        let at = plans.position(|(plan, _)| Arc::ptr_eq(plan.version(), &version));
        let at = at.unwrap_or_else(|| {
            let plan = Arc::new(TablePlan::compile(version).expect("a plan"));
            let builder = ChangeBuilder::new(Arc::clone(&plan), BATCH_ROWS);
            self.builders.push((plan, builder));
            self.builders.len() - 1
        });
        let (plan, builder) = &mut self.builders[at];
        let mut row = ChangeRow {
            op: Op::Insert,
            seq: Seq(1),
            row: 0,
            event: 0,
            flags: event.flags,
            commit_time_us: 0,
        };
        let (mut images, mut rows) = (Vec::new(), Vec::new());
        let mut rest = &event.event[event.images.clone()];
        while !rest.is_empty() {
            row.op = match (event.kind, row.op) {
                (RowsKind::Write, _) => Op::Insert,
                (RowsKind::Update, Op::UpdateBefore) => Op::UpdateAfter,
                (RowsKind::Update, _) => Op::UpdateBefore,
                (RowsKind::Delete, _) => Op::Delete,
            };
            let length = plan.layout().measure(rest);
            let (image, others) = rest.split_at(length.expect("an image"));
            images.push(image);
            rows.push(row);
            rest = others;
            self.images += 1;
            if images.len() == BLOCK_ROWS || rest.is_empty() {
                builder.append_block(&images, &rows).expect("rows");
                images.clear();
                rows.clear();
                if builder.len() >= BATCH_ROWS || builder.bytes() >= BATCH_BYTES {
                    drop(builder.finish().expect("a batch"));
                }
            }
        }
    }
}

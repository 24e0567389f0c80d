//! Where the seeds of the fuzz targets come from: what live servers log of a table of every kind.

use crate::catalogue::images;
use crate::support::server::FLAVORS;
use crate::support::sql::exec_all;
use crate::support::start;
use crate::zoo;
use std::path::{Path, PathBuf};
use tidelog::binlog::{Assembler, FileReader, MAGIC};
use tidelog::change::{ImageLayout, LogItem};
use tidelog::position::{BinlogPosition, Flavor};
use tidelog::schema::{TableShape, wire};
use tidelog::service::throwaway::ServerSpec;

/// A seed is read in full by every run: large values belong to the mutator.
const SEED_BYTES_MAX: usize = 4_096;

/// Run by hand; the hostile seeds beside these are made by hand.
#[tokio::test]
#[ignore = "writes fuzz/seeds anew"]
async fn write_seeds() {
    for flavor in FLAVORS {
        let server = start(ServerSpec::new(flavor)).await;
        exec_all(&mut server.conn().await, &zoo::statements(flavor)).await;
        let file = std::fs::read(server.data_dir().join("binlog.000001")).expect("read binlog");
        write(flavor, &file);
    }
    for (kind, name) in ["repo", "timeline", "writer", "segment", "base"]
        .iter()
        .enumerate()
    {
        let path = format!("tests/data/format/v1/{name}.json");
        let frame = std::fs::read(path).expect("a frozen sample");
        let framed = [&[kind as u8 | 8], &frame[..frame.len() - 20]].concat();
        seed("documents", &format!("sample-{name}"), &framed);
    }
    let catalogue = std::fs::read("tests/data/format/v1/catalog.json.zst").expect("a sample");
    seed(
        "documents",
        "sample-catalogue",
        &[&[5], catalogue.as_slice()].concat(),
    );
}

fn write(flavor: Flavor, file: &[u8]) {
    let choices = u8::from(flavor == Flavor::MariaDb);
    let mut reader = FileReader::new();
    reader.feed(file);
    let start = BinlogPosition::new("binlog.000001", 4);
    let mut assembler = Assembler::new(flavor, Some(start));
    let mut description = Vec::new();
    let (mut group, mut items, mut statements) = (Vec::new(), Vec::new(), 0);
    while let Some(event) = reader.next_event().expect("an event") {
        if description.is_empty() {
            description = [MAGIC.as_slice(), &event].concat();
        }
        group.extend_from_slice(&event);
        assembler.push(event, &mut items).expect("push event");
        if assembler.is_inside_transaction() {
            continue;
        }
        for item in items.drain(..) {
            match item {
                LogItem::Rows(rows) => {
                    let name = format!("{flavor}-{}", plain(&rows.shape.name.table));
                    let whole = [&[choices | 0xfe], description.as_slice(), &group].concat();
                    seed("binlog_file", &name, &whole);
                    let map = &rows.shape.raw_table_map;
                    seed("table_map", &name, &[&[choices], map.as_slice()].concat());
                    let length = (map.len() as u16).to_le_bytes();
                    for (index, image) in images(&rows).iter().take(2).enumerate() {
                        let row = [&[choices], &length[..], map, image].concat();
                        seed("row_image", &format!("{name}-{index}"), &row);
                        documents(&rows.shape, image, &format!("{name}-{index}"));
                    }
                }
                LogItem::Statement(statement) => {
                    statements += 1;
                    let text = [&[choices], &statement.text[..]].concat();
                    seed("ddl", &format!("{flavor}-{statements:02}"), &text);
                }
                _ => {}
            }
        }
        group.clear();
    }
}

fn documents(shape: &TableShape, image: &[u8], name: &str) {
    let layout = ImageLayout::new(&shape.columns).expect("a layout");
    let mut cells = Vec::new();
    layout.split(image, &mut cells).expect("an image");
    for (index, column) in shape.columns.iter().enumerate() {
        if let (wire::JSON, Some(cell)) = (column.wire_type, &cells[index]) {
            let content = &image[cell.start as usize + 4..cell.end as usize];
            seed("json_image", &format!("{name}-{index}"), content);
        }
    }
}

fn plain(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(legal).collect()
}

/// The first of a name stays.
fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder: PathBuf = Path::new("fuzz/seeds").join(target);
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    if bytes.len() <= SEED_BYTES_MAX && !path.exists() {
        std::fs::write(path, bytes).expect("write seed");
    }
}

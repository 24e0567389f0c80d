//! `tidelog inspect`

use super::{Outcome, output};
use crate::binlog::{Assembler, FileReader};
use crate::change::{LogItem, RowsEvent, RowsKind, StatementKind};
use crate::error::{Error, Result, Wrap};
use crate::history::{images_to_json, value};
use crate::position::{BinlogPosition, Flavor, Seq};
use crate::schema::{TableId, TableShape, TableVersion};
use crate::segment::TablePlan;
use crate::storage::{Store, StoreOptions};
use bytes::Bytes;
use clap::Args;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BINLOG_MAGIC: &[u8] = b"\xfebin";
const BINLOG_MAGIC_ENCRYPTED: &[u8] = b"\xfdbin";
const PARQUET_MAGIC: &[u8] = b"PAR1";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
/// A compressed object is inflated up to here.
const TEXT_BYTES_MAX: u64 = 256 << 20;

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub(super) struct Inspect {
    /// Path or URL of an object of a repository, or path of a binlog file.
    #[arg(value_name = "OBJECT")]
    object: String,
    /// Prints statement texts: they may hold secrets.
    #[arg(long)]
    show_statements: bool,
}

impl Inspect {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let bytes = read(&self.object).await?;
        let named = |error: Error| {
            if error.get("object").is_some() {
                error
            } else {
                error.field("object", &self.object)
            }
        };
        if bytes.starts_with(BINLOG_MAGIC) || bytes.starts_with(BINLOG_MAGIC_ENCRYPTED) {
            let file = Path::new(&self.object)
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into());
            Binlog::new(&bytes, self.show_statements)?
                .print(&bytes, &file)
                .map_err(named)?;
        } else if bytes.starts_with(PARQUET_MAGIC) {
            parquet(bytes).map_err(named)?;
        } else {
            text(&bytes, json).map_err(named)?;
        }
        Ok(Outcome::Done)
    }
}

async fn read(object: &str) -> Result<Bytes> {
    let missing = || Error::config("read object: it is not there").field("object", object);
    if !object.contains("://") {
        return std::fs::read(PathBuf::from(object))
            .map(Bytes::from)
            .wrap(missing);
    }
    let (prefix, name) = object.rsplit_once('/').ok_or_else(missing)?;
    let store = Store::open(prefix, &StoreOptions::default())?;
    store.get(name).await?.ok_or_else(missing)
}

/// JSON and SQL, packed or not.
fn text(bytes: &[u8], json: bool) -> Result<()> {
    use std::io::Read;
    let mut plain = Vec::new();
    if bytes.starts_with(ZSTD_MAGIC) {
        let damaged = || Error::corrupt("unpack object");
        let decoder = zstd::Decoder::new(bytes).wrap(damaged)?;
        decoder
            .take(TEXT_BYTES_MAX)
            .read_to_end(&mut plain)
            .wrap(damaged)?;
    } else {
        plain.extend_from_slice(bytes);
    }
    match serde_json::from_slice::<Value>(&plain) {
        Ok(document) if json => output::line(&document.to_string()),
        Ok(document) => output::json(&document),
        Err(_) => match String::from_utf8(plain) {
            Ok(text) if text.trim_start().starts_with('{') => {
                Err(Error::corrupt("parse object: it is no whole JSON document"))
            }
            Ok(text) => output::line(text.trim_end()),
            Err(error) => Err(Error::corrupt("recognise object").source(error)),
        },
    }
}

/// Rows of a Parquet file as JSON lines.
fn parquet(bytes: Bytes) -> Result<()> {
    let damaged = || Error::corrupt("read Parquet object");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .wrap(damaged)?
        .build()
        .wrap(damaged)?;
    for batch in reader {
        let batch = batch.wrap(damaged)?;
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let mut object = Map::new();
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                object.insert(field.name().clone(), value(column.as_ref(), row)?);
            }
            output::line(&Value::Object(object).to_string())?;
        }
    }
    Ok(())
}

/// A binlog file: one line per row change and per statement, in order.
struct Binlog {
    flavor: Flavor,
    show_statements: bool,
    plans: HashMap<usize, (Arc<TableShape>, Arc<TablePlan>)>,
}

impl Binlog {
    fn new(bytes: &[u8], show_statements: bool) -> Result<Binlog> {
        if bytes.starts_with(BINLOG_MAGIC_ENCRYPTED) {
            return Err(Error::incompatible("read binlog file: it is encrypted")
                .hint("read it through the server (tidelog capture), which decrypts it"));
        }
        // The server version stands at a fixed place of the first event, the format description.
        let version = bytes.get(4 + 19 + 2..4 + 19 + 52).unwrap_or_default();
        let is_mariadb = version.windows(7).any(|w| w == b"MariaDB");
        let flavor = if is_mariadb {
            Flavor::MariaDb
        } else {
            Flavor::MySql
        };
        Ok(Binlog {
            flavor,
            show_statements,
            plans: HashMap::new(),
        })
    }

    fn print(&mut self, bytes: &[u8], file: &str) -> Result<()> {
        let mut reader = FileReader::new();
        // A file of the spool (or a relay log) says itself where its events stood: its format
        // description stands nowhere.
        let is_stream = bytes.get(4 + 13..4 + 17) == Some(&[0; 4]);
        let start = (!is_stream).then(|| BinlogPosition::new(file, 4));
        let mut assembler = Assembler::new(self.flavor, start);
        let mut items = Vec::new();
        let mut in_use = false;
        for chunk in bytes.chunks(1 << 20) {
            reader.feed(chunk);
            while let Some(event) = reader.next_event()? {
                in_use |= is_in_use(&event);
                assembler.push(event, &mut items)?;
                loop {
                    for item in items.drain(..) {
                        self.item(item)?;
                    }
                    if !assembler.more(&mut items)? {
                        break;
                    }
                }
            }
        }
        reader.finish(in_use)
    }

    fn item(&mut self, item: LogItem) -> Result<()> {
        match item {
            LogItem::Begin(begin) => output::line(
                &json!({"begin": begin.gtid.map(|g| g.to_string()), "server_id": begin.server_id}).to_string(),
            ),
            LogItem::Rows(rows) => self.rows(&rows),
            LogItem::Statement(statement) => {
                let text = if self.show_statements || statement.kind == StatementKind::RowsQuery {
                    String::from_utf8_lossy(&statement.text).into_owned()
                } else {
                    super::log::masked(&statement.text)
                };
                let db = String::from_utf8_lossy(&statement.default_db);
                output::line(&json!({"statement": text, "db": db}).to_string())
            }
            LogItem::Undecoded(event) => {
                let table = event.shape.map(|s| s.name.to_string());
                output::line(&json!({"undecoded": event.reason, "table": table, "bytes": event.event.len()}).to_string())
            }
            LogItem::Commit(commit) => {
                output::line(&json!({"commit": format!("{:?}", commit.kind).to_lowercase(), "end": commit.end.to_string()}).to_string())
            }
            LogItem::Abandoned => output::line(&json!({"abandoned": true}).to_string()),
            LogItem::Verbatim(_) | LogItem::FormatDescription(_) | LogItem::FileEvent(_) | LogItem::Idle(_) => Ok(()),
        }
    }

    fn rows(&mut self, rows: &RowsEvent) -> Result<()> {
        let plan = self.plan(&rows.shape)?;
        let table = rows.shape.name.to_string();
        let images = rows.event.get(rows.images.clone()).unwrap_or_default();
        let mut cells = Vec::new();
        let mut at = 0;
        let marks = plan.layout().bitmap_bytes();
        let lacks = |second: bool| {
            let absent = rows.absent.as_ref();
            absent.is_some_and(|cells| cells.images.get(usize::from(second)) == Some(&true))
        };
        let mut next = |second: bool| -> Result<Option<Map<String, Value>>> {
            let Some(rest) = images.get(at..).filter(|rest| !rest.is_empty()) else {
                return Ok(None);
            };
            let length = plan.layout().split(rest, &mut cells)?;
            let length = length + if lacks(second) { marks } else { 0 };
            at += length;
            Ok(images_to_json(&plan, &[rest.get(..length).unwrap_or_default()])?.pop())
        };
        while let Some(first) = next(false)? {
            let line = match rows.kind {
                RowsKind::Write => json!({"table": table, "op": "insert", "after": first}),
                RowsKind::Delete => json!({"table": table, "op": "delete", "before": first}),
                RowsKind::Update => {
                    let after = next(true)?.ok_or_else(|| {
                        Error::corrupt("split rows event: an update has no after image")
                            .field("table", &table)
                    })?;
                    json!({"table": table, "op": "update", "before": first, "after": after})
                }
            };
            output::line(&line.to_string())?;
        }
        Ok(())
    }

    fn plan(&mut self, shape: &Arc<TableShape>) -> Result<Arc<TablePlan>> {
        let address = Arc::as_ptr(shape) as usize;
        if let Some((_, plan)) = self.plans.get(&address) {
            return Ok(Arc::clone(plan));
        }
        let id = TableId::allocate(1, Seq::FIRST, self.plans.len() as u32);
        let version = TableVersion::first(id, Seq::FIRST, self.flavor, TableShape::clone(shape));
        let plan = Arc::new(TablePlan::compile(Arc::new(version))?);
        self.plans
            .insert(address, (Arc::clone(shape), Arc::clone(&plan)));
        Ok(plan)
    }
}

/// The first event's flags say whether the server still had the file open.
fn is_in_use(event: &[u8]) -> bool {
    const FORMAT_DESCRIPTION: u8 = 15;
    event.get(4) == Some(&FORMAT_DESCRIPTION) && event.get(17).is_some_and(|flags| flags & 1 == 1)
}

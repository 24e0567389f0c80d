//! The binlog reader and writer against live servers: what a dump gives means the same from
//! wherever it starts, and row images written back as `BINLOG` statements are the same rows.

use std::collections::HashMap;
use std::time::Duration;

use mysql_async::Conn;
use tidelog::binlog::write::{
    FLAG_NO_FOREIGN_KEY_CHECKS, Stamp, StatementBuilder, binlog_statement, format_description,
};
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::{
    ImageLayout, LogItem, RowsEvent, RowsKind, StatementKind, TransactionKind, narrow,
};
use tidelog::error::ErrorKind;
use tidelog::position::{BinlogPosition, Flavor, GtidSet, Seq};
use tidelog::schema::{TableId, TableVersion};
use tidelog::service::throwaway::ServerSpec;
use tidelog::source::{DumpFrom, Endpoint, ReplicaConnection, ReplicaOptions};

use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all, fails, query, query_one, variable};
use crate::support::{TestServer, start, start_all};

/// Statements whose events are easily got wrong, for either flavor. Values outside the strict
/// mode's range are on purpose.
const WORKLOAD: &[&str] = &[
    "CREATE DATABASE `d``b`",
    "USE `d``b`",
    "SET sql_mode=''",
    "CREATE TABLE types (a TINYINT, f BIGINT UNSIGNED NOT NULL, y YEAR, dec1 DECIMAL(10,2) UNSIGNED,
     dec2 DECIMAL(65,30), fl FLOAT, db DOUBLE, b64 BIT(64), b10 BIT(10), dt DATE, t6 TIME(6),
     dt3 DATETIME(3), ts6 TIMESTAMP(6) NULL, c1 CHAR(10) CHARACTER SET latin1,
     c2 CHAR(255) CHARACTER SET utf8mb4, v1 VARCHAR(20) CHARACTER SET gbk, v2 VARCHAR(2000),
     bi BINARY(16), bl BLOB, lt LONGTEXT CHARACTER SET utf16, en ENUM('a','b''c','x') NOT NULL,
     st SET('x','y','z') CHARACTER SET latin1, js JSON, g GEOMETRY, gen INT AS (a+1) VIRTUAL,
     `n``q 表` INT INVISIBLE, PRIMARY KEY (v1, f)) DEFAULT CHARSET=utf8mb4",
    "INSERT INTO types (a,f,y,dec1,dec2,fl,db,b64,b10,dt,t6,dt3,ts6,c1,c2,v1,v2,bi,bl,lt,en,st,js,g,
     `n``q 表`) VALUES (-1,18446744073709551615,2155,99999999.99,
     -12345678901234567890123456789012345.123456789012345678901234567890,1.1,-0.0,
     0xFFFFFFFFFFFFFFFF,0x3FF,'0000-00-00','-00:00:00.000001','2024-00-15 00:00:00.5',
     '2038-01-19 03:14:07.999999','é','表','中','v',0x00FF00,0xFF00,'lt',0,5,
     '{\"a\": [1, 2.5, null, \"x\"]}',ST_GeomFromText('POINT(1 2)'),7)",
    "INSERT INTO types (f, v1, en) VALUES (1, 'k', 1), (2, 'l', 2)",
    "UPDATE types SET a=5, js=JSON_SET(js,'$.a[0]',9) WHERE f=18446744073709551615",
    "CREATE TABLE p (id INT PRIMARY KEY, s LONGTEXT)",
    "CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
    "CREATE TABLE keyless (a INT, b VARCHAR(10))",
    "INSERT INTO keyless VALUES (1,'a'),(1,'a'),(NULL,NULL)",
    "DELETE FROM keyless WHERE a=1 LIMIT 1",
    "BEGIN",
    "INSERT INTO p VALUES (1,'one'),(2,'two')",
    "SAVEPOINT `s 1`",
    "INSERT INTO c VALUES (1,1),(2,2)",
    "UPDATE p JOIN keyless SET p.s='multi', keyless.b='m'",
    "COMMIT",
    "INSERT INTO p SELECT 10, REPEAT('long ', 300000)",
    "UPDATE p SET s = CONCAT(s, '!')",
    "XA START 'a','b',7",
    "INSERT INTO p VALUES (20,'xa')",
    "XA END 'a','b',7",
    "XA PREPARE 'a','b',7",
    "XA COMMIT 'a','b',7",
    "XA START 'r'",
    "INSERT INTO p VALUES (21,'never')",
    "XA END 'r'",
    "XA PREPARE 'r'",
    "XA ROLLBACK 'r'",
    "CREATE TABLE copied AS SELECT id, s FROM p WHERE id < 10",
    "ALTER TABLE p ADD COLUMN n INT UNSIGNED NOT NULL DEFAULT 5 FIRST",
    "INSERT INTO p VALUES (1, 30, NULL)",
    "RENAME TABLE keyless TO bag, copied TO keyless",
    "TRUNCATE TABLE keyless",
    "INSERT INTO keyless VALUES (1,'after')",
];

const ONLY_MYSQL: &[&str] = &[
    "SET gtid_next='AUTOMATIC:tag_1'",
    "INSERT INTO p VALUES (1, 40, 'tagged')",
    "SET gtid_next='3e11fa47-71ca-11e1-9e33-c80aa9429562:x:7'",
    "BEGIN",
    "COMMIT",
    "SET gtid_next=AUTOMATIC",
    "SET binlog_rows_query_log_events=ON",
    "SET binlog_transaction_compression=ON",
    "UPDATE p SET s=REPEAT('payload', 1000) WHERE id < 30",
    "SET binlog_transaction_compression=OFF",
    "CREATE TABLE vec (a CHAR(3) CHARACTER SET latin1, id INT PRIMARY KEY, v VECTOR(3),
     b TEXT CHARACTER SET utf16, c VARCHAR(9) CHARACTER SET gbk)",
    "INSERT INTO vec VALUES ('é', 1, TO_VECTOR('[1,2,3]'), 'é', '中')",
];

const ONLY_MARIADB: &[&str] = &[
    "SET gtid_domain_id=5",
    "INSERT INTO p VALUES (1, 40, 'domain')",
    "SET gtid_domain_id=0",
    "SET GLOBAL log_bin_compress=ON",
    "UPDATE p SET s=REPEAT('compressed', 1000) WHERE id < 30",
    "ALTER TABLE p COMMENT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
    "SET GLOBAL log_bin_compress=OFF",
    "SET binlog_alter_two_phase=ON",
    "ALTER TABLE bag ADD COLUMN z INT, ALGORITHM=COPY",
    "SET binlog_alter_two_phase=OFF",
    "CREATE TABLE special (id INT PRIMARY KEY, u UUID, i INET6, z VARCHAR(500) COMPRESSED, t TEXT, UNIQUE (t))",
    "INSERT INTO special VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '::', REPEAT('z', 400), 't')",
    "CREATE TABLE versioned (a INT PRIMARY KEY, b INT)",
    "INSERT INTO versioned VALUES (1,1)",
];

async fn run(conn: &mut Conn, flavor: Flavor) {
    let own = match flavor {
        Flavor::MySql => ONLY_MYSQL,
        Flavor::MariaDb => ONLY_MARIADB,
    };
    exec_all(conn, WORKLOAD).await;
    exec_all(conn, own).await;
}

async fn end_of_binlog(server: &TestServer) -> BinlogPosition {
    let mut conn = server.conn().await;
    let sql = match server.flavor() {
        Flavor::MySql => "SHOW BINARY LOG STATUS",
        Flavor::MariaDb => "SHOW MASTER STATUS",
    };
    let row: mysql_async::Row = query_one(&mut conn, sql).await;
    let file: String = row.get(0).expect("file");
    BinlogPosition::new(file, row.get::<u64, _>(1).expect("position"))
}

/// Everything a dump gives up to `end`, with one heartbeat after it.
async fn dump(server: &TestServer, from: DumpFrom, end: &BinlogPosition) -> Vec<LogItem> {
    let endpoint: Endpoint = server.account_url().parse().expect("url");
    let uuid = uuid::Uuid::from_u128(u128::from(server.port()));
    let mut options = ReplicaOptions::new(4_000_000_000, uuid);
    options.heartbeat = Duration::from_millis(500);
    let connection = ReplicaConnection::connect(&endpoint, &options)
        .await
        .expect("connect");
    let described = format!("{from:?}");
    let start = match &from {
        DumpFrom::Position(at) => Some(at.clone()),
        DumpFrom::Gtid(_) => None,
    };
    let mut stream = connection.start(from).await.expect("start dump");
    let mut assembler = Assembler::new(server.flavor(), start);
    let mut items = Vec::new();
    let mut beats = 0;
    loop {
        let packet = stream.next().await.expect("next event");
        let event = packet.event.clone();
        assembler
            .push(packet.event, &mut items)
            .expect("assemble event");
        while assembler.more(&mut items).expect("inflate") {}
        // A source that has said all stays on sending heartbeats.
        if event.get(4).is_some_and(|&kind| matches!(kind, 27 | 41)) {
            beats += 1;
            let at = assembler.position();
            assert!(
                beats < 20,
                "{described}: at {at:?}, not {end}: {:?} {}",
                items.last(),
                hex::encode(event)
            );
        }
        // MariaDB writes checkpoints behind the last transaction, in its own time.
        if let Some(LogItem::Idle(at)) = items.last()
            && at.order(end).is_some_and(|order| order.is_ge())
        {
            assert_eq!(assembler.committed(), Some(at));
            return items;
        }
    }
}

/// Identity, end and content of every transaction.
fn transactions(items: &[LogItem]) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for item in items {
        match item {
            LogItem::Begin(begin) => {
                let gtid = begin.gtid.as_ref().expect("gtid").to_string();
                all.push((gtid, Vec::new()));
                continue;
            }
            LogItem::FormatDescription(_) | LogItem::FileEvent(_) | LogItem::Idle(_) => continue,
            _ => {}
        }
        let text = match item {
            LogItem::Rows(r) => format!("{} {:?} {}", r.shape.name, r.kind, hex::encode(&r.event)),
            LogItem::Commit(c) => format!("{:?} {:?} {}", c.kind, c.xid, c.end),
            LogItem::Statement(s) => format!("{:?} {:?}", s.kind, s.text),
            LogItem::Undecoded(u) => panic!("undecoded: {}", u.reason),
            _ => continue,
        };
        all.last_mut().expect("inside a transaction").1.push(text);
    }
    all
}

#[tokio::test]
async fn a_dump_means_the_same_from_wherever_it_starts() {
    for flavor in FLAVORS {
        let server = start(ServerSpec::new(flavor)).await;
        let mut conn = server.conn().await;
        run(&mut conn, flavor).await;
        exec(&mut conn, "FLUSH BINARY LOGS").await;
        exec(&mut conn, "INSERT INTO p VALUES (1, 50, 'next file')").await;
        let end = end_of_binlog(&server).await;
        let empty = GtidSet::empty(flavor);
        let whole = dump(&server, DumpFrom::Gtid(empty.clone()), &end).await;
        let all = transactions(&whole);
        assert!(all.len() > 25, "{flavor}: {} transactions", all.len());

        let logs: Vec<mysql_async::Row> = query(&mut conn, "SHOW BINARY LOGS").await;
        let first: String = logs[0].get(0).expect("file");
        let start = BinlogPosition::new(first, 4);
        let by_position = dump(&server, DumpFrom::Position(start), &end).await;
        assert_eq!(transactions(&by_position), all, "{flavor}: by position");

        // From the end of each seventh transaction, by its position and by the set up to it.
        let mut set = empty;
        let mut gtid = None;
        let mut seen = 0;
        for item in &whole {
            match item {
                LogItem::Begin(begin) => gtid = begin.gtid.clone(),
                LogItem::Commit(commit) => {
                    seen += 1;
                    set.add(gtid.as_ref().expect("gtid")).expect("same flavor");
                    if seen % 7 != 0 {
                        continue;
                    }
                    let from = DumpFrom::Position(commit.end.clone());
                    let tail = dump(&server, from, &end).await;
                    assert_eq!(transactions(&tail), all[seen..], "{flavor}: {}", commit.end);
                    let tail = dump(&server, DumpFrom::Gtid(set.clone()), &end).await;
                    assert_eq!(transactions(&tail), all[seen..], "{flavor}: after {set}");
                }
                _ => {}
            }
        }
        assert_files_hold_the_same(&server, &all).await;
    }
}

/// The files on the server's disk, read as `tidelog inspect` reads them.
async fn assert_files_hold_the_same(server: &TestServer, all: &[(String, Vec<String>)]) {
    let mut conn = server.conn().await;
    let logs: Vec<mysql_async::Row> = query(&mut conn, "SHOW BINARY LOGS").await;
    let mut items = Vec::new();
    for log in &logs {
        let file: String = log.get(0).expect("file");
        let bytes = std::fs::read(server.data_dir().join(&file)).expect("binlog file");
        let mut reader = FileReader::new();
        let start = BinlogPosition::new(file, 4);
        let mut assembler = Assembler::new(server.flavor(), Some(start));
        for chunk in bytes.chunks(10_000) {
            reader.feed(chunk);
            while let Some(event) = reader.next_event().expect("event") {
                assembler.push(event, &mut items).expect("assemble");
                while assembler.more(&mut items).expect("inflate") {}
            }
        }
        reader.finish(true).expect("whole file");
    }
    assert_eq!(transactions(&items), all);
}

/// Applies what a dump gave to another server: statements as text, rows as `BINLOG` statements.
struct Applier {
    stamp: Stamp,
    /// Statements of the transaction that is open.
    open: Vec<String>,
    prepared: HashMap<Vec<u8>, Vec<String>>,
}

impl Applier {
    async fn apply(&mut self, conn: &mut Conn, item: LogItem) {
        match item {
            LogItem::Begin(_) => self.open.clear(),
            LogItem::Rows(rows) => self.open.push(self.binlog(&rows)),
            LogItem::Statement(s) if s.kind == StatementKind::Query => {
                let text = String::from_utf8(s.text.to_vec()).expect("utf8");
                if text.starts_with("XA ") || text.starts_with("SAVEPOINT") {
                    return;
                }
                let db = String::from_utf8(s.default_db).expect("utf8");
                if !db.is_empty() && !text.starts_with("CREATE DATABASE") {
                    self.open.push(format!("USE `{}`", db.replace('`', "``")));
                }
                // What MySQL logs for CREATE .. SELECT would open a transaction of its own.
                let text = text.trim_end_matches(" START TRANSACTION").to_owned();
                self.open
                    .push(format!("SET sql_mode={}", s.sql_mode.expect("sql_mode")));
                self.open.push(text);
            }
            LogItem::Undecoded(u) => panic!("undecoded: {}", u.reason),
            LogItem::Commit(commit) => {
                let open = std::mem::take(&mut self.open);
                match (commit.kind, commit.xa) {
                    (TransactionKind::XaPrepare, Some(xid)) => {
                        self.prepared.insert(xid, open);
                    }
                    (TransactionKind::XaCommit, Some(xid)) => {
                        let prepared = self.prepared.remove(&xid).expect("was prepared");
                        self.run(conn, &prepared).await;
                    }
                    (TransactionKind::XaRollback, Some(xid)) => {
                        self.prepared.remove(&xid).expect("was prepared");
                    }
                    _ => self.run(conn, &open).await,
                }
            }
            _ => {}
        }
    }

    async fn run(&self, conn: &mut Conn, statements: &[String]) {
        exec(conn, "BEGIN").await;
        for statement in statements {
            exec(conn, statement).await;
        }
        exec(conn, "COMMIT").await;
    }

    fn binlog(&self, rows: &RowsEvent) -> String {
        let id = TableId::allocate(1, Seq(1), 1);
        let flavor = self.stamp.flavor;
        let table = TableVersion::first(id, Seq(1), flavor, (*rows.shape).clone());
        let flags = FLAG_NO_FOREIGN_KEY_CHECKS;
        let mut builder =
            StatementBuilder::begin(self.stamp, &table, rows.kind, flags).expect("begin statement");
        let images = &rows.event[rows.images.clone()];
        match rows.absent {
            // Rows stay together here; splitting them is for those who know their columns.
            None => builder.push(images),
            Some(_) => push_lacking(&mut builder, rows, flavor),
        }
        binlog_statement(&builder.finish())
    }
}

/// Rows of which the source logged only some columns (the same in both images), as it logged them.
fn push_lacking(builder: &mut StatementBuilder, rows: &RowsEvent, flavor: Flavor) {
    let layout = ImageLayout::new(&rows.shape.columns).expect("layout");
    let mut rest = &rows.event[rows.images.clone()];
    let mut cells = Vec::new();
    while !rest.is_empty() {
        let (mut narrowed, mut absent) = (Vec::new(), Vec::new());
        for _ in 0..1 + usize::from(rows.kind == RowsKind::Update) {
            let length = layout.split(rest, &mut cells).expect("image") + layout.bitmap_bytes();
            let row = layout.split_row(&rest[..length], &mut cells).expect("row");
            narrow(&row, &cells, flavor, &mut narrowed).expect("narrow");
            absent = row.absent.to_vec();
            rest = &rest[length..];
        }
        builder.push_narrow(&narrowed, &absent);
    }
}

async fn prepare_target(conn: &mut Conn, stamp: &Stamp) {
    let version: String = query_one(conn, "SELECT VERSION()").await;
    exec(conn, binlog_statement(&format_description(stamp, &version))).await;
    if stamp.flavor == Flavor::MySql {
        exec(conn, "SET gtid_next='AUTOMATIC'").await;
    }
}

#[tokio::test]
async fn rows_written_as_binlog_statements_are_the_same_rows() {
    for flavor in FLAVORS {
        let [source, target] = start_all([flavor, flavor].map(ServerSpec::new)).await;
        let mut conn = source.conn().await;
        run(&mut conn, flavor).await;
        let end = end_of_binlog(&source).await;
        let items = dump(&source, DumpFrom::Gtid(GtidSet::empty(flavor)), &end).await;
        let stamp = Stamp {
            flavor,
            server_id: 3,
            timestamp_s: 1_700_000_000,
        };
        let mut applier = Applier {
            stamp,
            open: Vec::new(),
            prepared: HashMap::new(),
        };
        let mut to = target.conn().await;
        prepare_target(&mut to, &stamp).await;
        for item in items {
            applier.apply(&mut to, item).await;
        }
        let expected = fingerprint(&mut conn, &["d`b"]).await;
        assert!(expected.len() >= 6, "{flavor}: {expected:?}");
        let mut reader = target.conn().await;
        let found = fingerprint(&mut reader, &["d`b"]).await;
        assert_same(&expected, &found, &format!("{flavor}: applied rows"));
    }
}

/// Many rows events behind one table map, and a rollback of a whole statement.
#[tokio::test]
async fn a_statement_of_many_rows_events_applies_and_rolls_back() {
    for flavor in FLAVORS {
        let [source, target] = start_all([flavor, flavor].map(ServerSpec::new)).await;
        let create = "CREATE TABLE w.t (id INT NOT NULL PRIMARY KEY, s TEXT)";
        let mut conn = source.conn().await;
        exec_all(&mut conn, &["CREATE DATABASE w", create]).await;
        exec(&mut conn, "INSERT INTO w.t VALUES (1, 'x')").await;
        let end = end_of_binlog(&source).await;
        let items = dump(&source, DumpFrom::Gtid(GtidSet::empty(flavor)), &end).await;
        let rows = items.iter().find_map(|item| match item {
            LogItem::Rows(rows) => Some(rows.clone()),
            _ => None,
        });
        let rows = rows.expect("one rows event");
        let stamp = Stamp {
            flavor,
            server_id: 3,
            timestamp_s: 1_700_000_000,
        };
        let table_id = TableId::allocate(1, Seq(1), 1);
        let table = TableVersion::first(table_id, Seq(1), flavor, (*rows.shape).clone());
        let mut builder =
            StatementBuilder::begin(stamp, &table, rows.kind, FLAG_NO_FOREIGN_KEY_CHECKS)
                .expect("begin");
        let null_bitmap = rows.event[rows.images.start];
        for id in 1..=200_u32 {
            let mut image = vec![null_bitmap];
            image.extend_from_slice(&id.to_le_bytes());
            image.extend_from_slice(&10_000_u16.to_le_bytes());
            image.extend(std::iter::repeat_n(b'a' + (id % 26) as u8, 10_000));
            builder.push(&image);
        }
        let text = binlog_statement(&builder.finish());
        let mut to = target.conn().await;
        exec_all(&mut to, &["CREATE DATABASE w", create]).await;
        prepare_target(&mut to, &stamp).await;
        exec(&mut to, "BEGIN").await;
        exec(&mut to, &text).await;
        exec(&mut to, "ROLLBACK").await;
        let counted = "SELECT CONCAT(COUNT(*), ':', COALESCE(SUM(LENGTH(s)), 0)) FROM w.t";
        assert_eq!(query_one::<String>(&mut to, counted).await, "0:0");
        exec(&mut to, "BEGIN").await;
        exec(&mut to, &text).await;
        exec(&mut to, "COMMIT").await;
        assert_eq!(query_one::<String>(&mut to, counted).await, "200:2000000");
        // The same rows again collide: the statement fails whole and the session lives on.
        exec(&mut to, "BEGIN").await;
        fails(&mut to, &text).await;
        exec(&mut to, "ROLLBACK").await;
        assert_eq!(query_one::<String>(&mut to, counted).await, "200:2000000");
        assert_ne!(variable(&mut to, "version").await, "");
    }
}

/// A dump that is asked for in the middle of an event does not come out as data.
#[tokio::test]
async fn a_start_inside_an_event_is_refused() {
    for flavor in FLAVORS {
        let server = start(ServerSpec::new(flavor)).await;
        let mut conn = server.conn().await;
        exec(&mut conn, "CREATE DATABASE w").await;
        let end = end_of_binlog(&server).await;
        let endpoint: Endpoint = server.account_url().parse().expect("url");
        let options = ReplicaOptions::new(4_000_000_000, uuid::Uuid::from_u128(1));
        let from = BinlogPosition::new(end.file, end.offset - 7);
        let connection = ReplicaConnection::connect(&endpoint, &options)
            .await
            .expect("connect");
        let mut assembler = Assembler::new(flavor, Some(from.clone()));
        let error = match connection.start(DumpFrom::Position(from)).await {
            Err(error) => error,
            Ok(mut stream) => loop {
                match stream.next().await {
                    Err(error) => break error,
                    Ok(packet) => {
                        let pushed = assembler.push(packet.event, &mut Vec::new());
                        if let Err(error) = pushed {
                            break error;
                        }
                    }
                }
            },
        };
        assert!(
            !matches!(error.kind(), ErrorKind::Internal),
            "{flavor}: {error}"
        );
        assert!(assembler.committed().is_some());
    }
}
